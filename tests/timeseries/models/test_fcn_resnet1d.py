from minifast.timeseries.models.fcn import ResNet1d
from minifast.timeseries.models.masked import StepNorm


def test_it_is_the_network_of_the_paper():
    model = ResNet1d(1, 2)
    assert [[unit.conv.kernel_size[1] for unit in block.layers] for block in model.body] == [[8, 5, 3]] * 3
    assert [[unit.act for unit in block.layers] for block in model.body] == [[True, True, False]] * 3
    assert [block.layers[-1].conv.out_channels for block in model.body] == [64, 128, 128]
    assert [isinstance(block.shortcut, StepNorm) for block in model.body] == [False, False, True]
