"""Random changes of light and colour on a batch, in one pass.

Brightness, contrast, tint and saturation act on the logits of the pixels, log(x / (1 - x)), so that no pixel leaves 0..1 and nothing is
clipped. There each of them is linear in the channels; `Lighting` multiplies them into one small matrix and offset per picture. Grey and a
hue shift are not linear: they are done before the others. Pictures are (B,C,H,W), floats in 0..1 or uint8; masks are left alone.
"""
import numpy as np
import torch
from torchvision import tv_tensors

from .affine import BatchTransform, first_image, log_uniform
from .given_draws import given_values

__all__ = ["Brightness", "Contrast", "Grey", "Hue", "Lighting", "Saturation", "Tint"]

LUMA = np.array([0.299, 0.587, 0.114])     # ITU-R BT.601: how bright red, green and blue look
_EPS = 1e-7                                # the logit of a black pixel is finite


def shift_hue(x, turns):
    "Pictures `x` (B,3,H,W) in 0..1 with their hue turned by `turns` (B,), as shares of the colour circle."
    r, g, b = x.unbind(1)
    high = torch.maximum(torch.maximum(r, g), b)
    chroma = high - torch.minimum(torch.minimum(r, g), b)
    safe = chroma.clamp_min(1e-12)
    sextant = torch.where(high == r, (g - b).div_(safe), torch.where(high == g, (b - r).div_(safe).add_(2), (r - g).div_(safe).add_(4)))
    hue = sextant.add_(6 * turns.view(-1, 1, 1))
    # Channel n of an HSV colour (n = 5, 3, 1 for red, green, blue): high - chroma * f, where f falls from 1 to 0 between the distances 1
    # and 2 of hue + n from 2, on a circle of 6.
    out = torch.empty_like(x)
    for channel, n in enumerate((5, 3, 1)):
        k = hue.add(n - 2).div_(6)
        f = k.sub_(k.round()).abs_().mul_(-6).add_(2).clamp_(0, 1)
        torch.addcmul(high, chroma, f, value=-1, out=out[:, channel])
    return out


class Lighting(BatchTransform):
    "The lighting transforms `tfms` together, in one pass over the pixels. Training batches only."
    order = 40
    split_idx = 0
    types = (tv_tensors.Image,)
    fuses_as = "light"          #: see `fused`

    def __init__(self, tfms=(), p=1.0, batch=False):
        super().__init__(p, batch)
        self.tfms = list(tfms)
        if self.tfms and (p != 1.0 or batch):
            raise ValueError(f"{type(self).__name__}([...], p={p}, batch={batch}): p and batch belong to the transforms in the list")

    def change(self, x, rng, light):
        "Override: add this transform's parameters to `light`, a `_Light`."
        for t in self.tfms:
            t.change(x, rng, light)

    def draw(self, sample, rng, split_idx):
        x = first_image(sample)
        if x is None or not isinstance(x, tv_tensors.Image):
            return None
        light = _Light(len(x), x.shape[1])
        self.change(x, rng, light)
        return None if light.is_nothing() else {"light": light}

    def encodes(self, x, light):
        plain = x.as_subclass(torch.Tensor)
        work = plain.float() if plain.is_floating_point() else plain.float().div_(255)
        out = light.apply(work, plain.device)
        return tv_tensors.wrap(out.to(plain.dtype) if plain.is_floating_point() else out.mul_(255).round_().to(plain.dtype), like=x)

    def __repr__(self):
        return f"Lighting([{', '.join(map(repr, self.tfms))}])" if type(self) is Lighting else super().__repr__()


class _Light:
    "What is done to each picture: grey or hue turns, then logits = scale * (mix @ logits) + offset."

    def __init__(self, n, channels):
        self.n, self.channels = n, channels
        self.scale, self.offset = np.ones(n), np.zeros((1, n))          # the offset of all channels, or of each
        self.saturation, self.turns, self.grey = None, None, None

    def is_nothing(self):
        return ((self.scale == 1).all() and not self.offset.any() and (self.saturation is None or (self.saturation == 1).all())
                and (self.turns is None or not self.turns.any()) and (self.grey is None or not self.grey.any()))

    def is_pointwise(self):
        "Whether what becomes of a number depends on that number and its channel only, not on the other channels."
        return self.saturation is None and (self.turns is None or not self.turns.any()) and (self.grey is None or not self.grey.any())

    def needs_colour(self, name):
        if self.channels not in (1, 3):
            raise ValueError(f"{name} changes colours: it needs pictures of 3 channels (red, green, blue), these have {self.channels}")
        return self.channels == 3

    def apply(self, x, device):
        # one small copy to the device for all parameters
        nothing = np.zeros(self.n)
        columns = [self.scale, np.ones(self.n) if self.saturation is None else self.saturation,
                   nothing if self.turns is None else self.turns, nothing if self.grey is None else self.grey, *self.offset]
        params = torch.from_numpy(np.stack(columns, 1).astype(np.float32)).to(device, non_blocking=True)[..., None, None]
        if x.device.type != "cpu" or self.is_pointwise():
            return self._changed(x, params)
        # one after the other, so that what lies between the steps stays in the cache of the processor
        out = torch.empty_like(x)
        for i in range(self.n):
            one = slice(i, i + 1)
            out[one] = self._changed(x[one], params[one])
        return out

    def _changed(self, x, params):
        scale, saturation, turns, grey, offset = params[:, :1], params[:, 1:2], params[:, 2], params[:, 3:4], params[:, 4:]
        if x.shape[1] < offset.shape[1]:        # a grey picture beside those of colour: a cast of colour adds nothing to it
            offset = offset.mean(1, keepdim=True)
        if self.grey is not None and self.grey.any():
            x = torch.where(grey > 0, _brightness_of(x), x)
        if self.turns is not None and self.turns.any():
            x = shift_hue(x, turns)
        x = torch.logit(x, eps=_EPS)
        if self.saturation is not None:
            # it keeps the grey value, so it may be done before the scale and an offset of all channels
            x = torch.lerp(_brightness_of(x), x, saturation)
        return torch.addcmul(offset, x, scale).sigmoid_()


def _brightness_of(x):
    "How bright the colours `x` (B,3,H,W) look: (B,1,H,W)."
    return torch.tensordot(x, x.new_tensor(LUMA), dims=([1], [0]))[:, None]


def _check_lighting(name, value, argument="max_lighting"):
    if not 0 <= value < 1:
        raise ValueError(f"{name}({argument}={value}): a number from 0 (no change) to below 1")


class Brightness(Lighting):
    """Lighter or darker, with probability `p`: the logit of a number drawn from 0.5 (1 - max_lighting) .. 0.5 (1 + max_lighting) is added.

    draw: that number; 0.5 changes nothing.
    """

    def __init__(self, max_lighting=0.2, p=0.75, draw=None, batch=False):
        super().__init__((), p, batch)
        _check_lighting("Brightness", max_lighting)
        self.max_lighting, self.given = max_lighting, self.takes(draw=draw)

    def change(self, x, rng, light):
        low, high = 0.5 * (1 - self.max_lighting), 0.5 * (1 + self.max_lighting)
        v = self.pick(len(x), rng, lambda n: rng.uniform(low, high, n), 0.5, self.given, x,
                      allowed=(lambda v: (v > 0) & (v < 1), "numbers between 0 (black) and 1 (white), 0.5 for no change"))
        light.offset = light.offset + np.log(v / (1 - v))


class Contrast(Lighting):
    """More or less contrast, with probability `p`: the logits are multiplied by a factor from 1 - max_lighting to its inverse.

    draw: the factor.
    """

    def __init__(self, max_lighting=0.2, p=0.75, draw=None, batch=False):
        super().__init__((), p, batch)
        _check_lighting("Contrast", max_lighting)
        self.max_lighting, self.given = max_lighting, self.takes(draw=draw)

    def change(self, x, rng, light):
        v = self.pick(len(x), rng, log_uniform(rng, self.max_lighting), 1.0, self.given, x)
        light.scale, light.offset = light.scale * v, light.offset * v


class Tint(Lighting):
    """A cast of colour, such as that of another lamp, with probability `p`: to the logits of red, green and blue is added the logit of
    0.5 (1 + s), with s drawn from 0 .. max_tint, times the cosine of their distance from a random place on the colour circle.

    The three add up to nothing, so that the picture stays about as bright. draw: s. draw_colour: the place, as a share of the circle: 0
    is red, 1/3 green, 2/3 blue. Grey pictures (1 channel) are left alone.
    """

    def __init__(self, max_tint=0.2, p=0.75, draw=None, draw_colour=None, batch=False):
        super().__init__((), p, batch)
        _check_lighting("Tint", max_tint, "max_tint")
        self.max_tint = max_tint
        self.given, self.given_colour = self.takes(draw=draw, draw_colour=draw_colour)

    def change(self, x, rng, light):
        n = len(x)
        k = 1 if self.batch else n
        s = self.pick(n, rng, lambda k: rng.uniform(0, self.max_tint, k), 0.0, self.given, x,
                      allowed=(lambda v: (abs(v) < 1), "numbers above -1 and below 1, 0 for no change"))
        colour = rng.random(k) if self.given_colour is None else given_values(self.given_colour, x, k, "Tint(draw_colour=...)")
        if light.needs_colour("Tint"):
            light.offset = light.offset + np.log((1 + s) / (1 - s)) * np.cos(2 * np.pi * (colour - np.arange(3)[:, None] / 3))


class Saturation(Lighting):
    """Stronger or paler colours, with probability `p`: logits move from their grey value by a factor as in `Contrast`.

    draw: the factor. Grey pictures (1 channel) are left alone.
    """

    def __init__(self, max_lighting=0.2, p=0.75, draw=None, batch=False):
        super().__init__((), p, batch)
        _check_lighting("Saturation", max_lighting)
        self.max_lighting, self.given = max_lighting, self.takes(draw=draw)

    def change(self, x, rng, light):
        v = self.pick(len(x), rng, log_uniform(rng, self.max_lighting), 1.0, self.given, x)
        if light.needs_colour("Saturation"):
            light.saturation = v if light.saturation is None else light.saturation * v
            if len(light.offset) > 1:                   # the cast of colour that an earlier one added
                grey = LUMA @ light.offset
                light.offset = grey + v * (light.offset - grey)


class Hue(Lighting):
    """Turn the colour circle by up to `max_hue` of a full turn either way, with probability `p`. draw: the share of a turn.

    Grey pictures (1 channel) are left alone.
    """

    def __init__(self, max_hue=0.1, p=0.75, draw=None, batch=False):
        super().__init__((), p, batch)
        _check_lighting("Hue", max_hue, "max_hue")
        self.max_hue, self.given = max_hue, self.takes(draw=draw)

    def change(self, x, rng, light):
        v = self.pick(len(x), rng, lambda n: rng.uniform(-self.max_hue, self.max_hue, n), 0.0, self.given, x)
        if light.needs_colour("Hue"):
            light.turns = v if light.turns is None else light.turns + v


class Grey(Lighting):
    """The picture without its colours, as bright as they look (ITU-R BT.601), in three equal channels, with probability `p`; a tint comes
    after it.

    draw: 1 = grey, 0 = not. Grey pictures (1 channel) are left alone.
    """

    def __init__(self, p=0.1, draw=None, batch=False):
        super().__init__((), p, batch)
        self.given = self.takes(draw=draw)

    def change(self, x, rng, light):
        v = self.pick(len(x), rng, np.ones, 0, self.given, x, allowed=(lambda v: (v == 0) | (v == 1), "1 (grey) or 0 (not)"))
        if light.needs_colour("Grey"):
            light.grey = v if light.grey is None else np.maximum(light.grey, v)


def fuse_lighting(tfms):
    "The lighting transforms `tfms` as one `Lighting`."
    return [Lighting([inner for t in tfms for inner in (t.tfms if type(t) is Lighting else [t])])] if tfms else []
