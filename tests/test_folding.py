"""Folding does not change embeddings, and leaves everything that cannot be folded exactly."""

import pytest
import torch
from edgetl_exporters.backbones import folding
from torch import nn

STD = (2.0, 3.0, 5.0)


class Net(nn.Module):
    """Parts by name, and any forward function."""

    def __init__(self, forward, **parts) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self._forward = forward

    def forward(self, image):
        return self._forward(self.parts, image)


class Standardised(nn.Conv2d):
    """A convolution whose weight is standardised in every pass, so that a factor on it is lost."""

    def forward(self, image):
        weight = (self.weight - self.weight.mean()) / self.weight.std()
        return nn.functional.conv2d(image, weight, self.bias, padding=1)


class BatchNormAct2d(nn.BatchNorm2d):
    """Like timm's class of this name."""

    act = nn.ReLU()

    def forward(self, maps):
        return self.act(super().forward(maps))


class Doubled(nn.BatchNorm2d):
    """Of an unknown kind."""

    def forward(self, maps):
        return 2 * super().forward(maps)


def conv(wide=3, **options):
    return nn.Conv2d(wide, 4, 3, padding=1, **options)


def plain(net, x):
    return net["norm"](net["conv"](x))


# name -> (network, batch normalisations that stay, whether std is folded)
CASES = {
    "conv, norm": (Net(plain, conv=conv(bias=False), norm=nn.BatchNorm2d(4)), 0, True),
    "conv with bias, norm without parameters": (Net(plain, conv=conv(), norm=nn.BatchNorm2d(4, affine=False)), 0, True),
    "padded by zeros": (Net(lambda n, x: plain(n, nn.functional.pad(x, (0, 1, 0, 1))), conv=conv(), norm=nn.BatchNorm2d(4)), 0, True),
    "padded by ones": (Net(lambda n, x: plain(n, nn.functional.pad(x, (1,) * 4, value=1)), conv=conv(), norm=nn.BatchNorm2d(4)), 0, False),
    "padded by reflection": (Net(plain, conv=conv(padding_mode="reflect"), norm=nn.BatchNorm2d(4)), 0, False),
    "norm with activation": (Net(plain, conv=conv(), norm=BatchNormAct2d(4)), 0, True),
    "norm of an unknown kind": (Net(plain, conv=conv(), norm=Doubled(4)), 1, True),
    "output read twice": (Net(lambda n, x: n["norm"](y := n["conv"](x)) + y, conv=conv(), norm=nn.BatchNorm2d(4)), 1, True),
    "output changed in place": (
        Net(lambda n, x: n["norm"](n["conv"](x).relu_()), conv=conv(), norm=nn.BatchNorm2d(4)),
        1,
        True,
    ),
    "conv used twice": (
        Net(lambda n, x: n["norm"](n["conv"](x)) + n["conv"](x.flip(3)), conv=conv(), norm=nn.BatchNorm2d(4)),
        1,
        False,
    ),
    "norm used twice": (
        Net(
            lambda n, x: n["norm"](n["conv"](x)) + n["norm"](n["other"](x)),
            conv=conv(),
            other=conv(),
            norm=nn.BatchNorm2d(4),
        ),
        1,
        False,
    ),
    "norm before conv": (Net(lambda n, x: n["conv"](n["norm"](x)), conv=conv(), norm=nn.BatchNorm2d(3)), 1, False),
    "weight standardised": (Net(plain, conv=Standardised(3, 4, 3), norm=nn.BatchNorm2d(4)), 1, False),
    "image read twice": (Net(lambda n, x: plain(n, x) + x.mean(), conv=conv(), norm=nn.BatchNorm2d(4)), 0, False),
    "channels apart": (Net(plain, conv=nn.Conv2d(3, 6, 3, groups=3), norm=nn.BatchNorm2d(6)), 0, False),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_folded_computes_the_same_and_the_rest_is_left(case: str) -> None:
    network, left, std_folded = CASES[case]
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                module.weight.data.uniform_(-2, 2)
                module.bias.data.normal_()
    network.eval()
    image = torch.randn(2, 3, 8, 8)
    normalised = image / torch.tensor(STD).view(1, 3, 1, 1)
    with torch.no_grad():
        expected = network(normalised)
        assert folding.fold(network, torch.zeros(1, 3, 8, 8), STD) is std_folded
        torch.testing.assert_close(network(image if std_folded else normalised), expected, rtol=1e-4, atol=1e-5)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == left
