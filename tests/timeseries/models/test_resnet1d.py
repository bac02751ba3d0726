from minifast.timeseries.models.masked import StepNorm
from minifast.timeseries.models.resnet1d import ResNet1d


def test_it_is_the_network_of_the_paper():
    model = ResNet1d(1, 2)
    assert [[unit.conv.kernel_size[1] for unit in block.layers] for block in model.body] == [[8, 5, 3]] * 3
    assert [[unit.act for unit in block.layers] for block in model.body] == [[True, True, False]] * 3
    assert [block.layers[-1].conv.out_channels for block in model.body] == [64, 128, 128]
    assert [isinstance(block.shortcut, StepNorm) for block in model.body] == [False, False, True]
