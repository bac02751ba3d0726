import torch

from minifast.timeseries.models.lstm_fcn import LSTM_FCN


def test_the_lstm_reads_each_channel_as_one_step():
    model, seen = LSTM_FCN(3, 2, seq_len=20), []
    model.lstm.register_forward_pre_hook(lambda m, args: seen.append(args[0].shape))
    assert model(torch.randn(4, 3, 20)).shape == (4, 2)
    assert seen == [(4, 3, 20)]
    assert (model.lstm.hidden_size, model.rnn_dropout.p, model.head[0].in_features) == (8, 0.8, 128 + 8)
