"""A world of synthetic slices: shapes of many kinds in made-up tissue, seen by made-up scanners, with prompts.

Nothing in it was measured: no image of a patient is behind it. Scenes are three
slices of a volume, drawn in groups; everything follows from one seed. What the world
should teach: the outline of the one thing that a prompt means, whatever it is, among
others that look alike, at any contrast, sharpness and noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from aleaseg.extractors.teaching.chance import SLICES, Chance, blurred
from aleaseg.extractors.teaching.prompts import prompts_of
from aleaseg.networks.prompted import cut

__all__ = ["KINDS", "World", "prompted_scenes"]


@dataclass(frozen=True)
class World:
    """How large scenes are and what comes out.

    Attributes:
        scene: pixels of the square that things are drawn in.
        side: pixels of the square about the prompt that the network sees.
        group: scenes that are drawn together: their things are of the same kinds.
        others: things beside the one that is meant.
        views: scanners and prompts of each scene: drawing one takes longer than looking at it.
    """

    scene: int = 96
    side: int = 64
    group: int = 8
    others: int = 4
    views: int = 3


# -- shapes: where the function is below 0, in coordinates in which the thing is about the unit ball ----------------


def _ball(u: Tensor, chance: Chance) -> Tensor:
    return _length(u) - 1


def _brick(u: Tensor, chance: Chance) -> Tensor:
    power = chance.uniform(3, 10)
    return (u.abs() ** power[:, None]).sum(1) ** (1 / power) - 0.85


def _shell(u: Tensor, chance: Chance) -> Tensor:
    """A ring, such as a wall around a cavity."""
    thickness = chance.uniform(0.2, 0.6)
    return (_length(u) - (1 - thickness / 2)).abs() - thickness / 2


def _tube(u: Tensor, chance: Chance) -> Tensor:
    """A bent, thin thing."""
    x, y, z = u.unbind(1)
    bend, turns, start = chance.uniform(0, 0.7), chance.uniform(1, 5), chance.uniform(0, 6.3)
    away = torch.hypot(y - bend * (turns * x + start).sin(), z - bend * (turns * x).cos())
    return torch.maximum(away - chance.uniform(0.15, 0.45), x.abs() - 1.1)


def _star(u: Tensor, chance: Chance) -> Tensor:
    angle = torch.atan2(u[:, 1], u[:, 0])
    edge = torch.ones_like(angle)
    for lobes in (2, 3, 5, 8):
        edge = edge + chance.uniform(0, 0.35) / lobes**0.5 * (lobes * angle + chance.uniform(0, 6.3)).cos()
    return _length(u) - 0.9 * edge


def _crescent(u: Tensor, chance: Chance) -> Tensor:
    away = chance.uniform(0.4, 0.9)
    other = _length(torch.stack([u[:, 0] - away, u[:, 1], u[:, 2]], dim=1))
    return torch.maximum(_length(u) - 1, chance.uniform(0.6, 0.95) - other)


def _cluster(u: Tensor, chance: Chance) -> Tensor:
    """Several parts that may touch."""
    parts = []
    for _ in range(3):
        centre = chance.uniform(-0.6, 0.6, 3, 1, 1, 1)
        parts.append(_length(u - centre) - chance.uniform(0.3, 0.6))
    return torch.stack(parts).amin(0)


KINDS: tuple[Callable[[Tensor, Chance], Tensor], ...] = (
    _ball, _ball, _brick, _shell, _tube, _star, _star, _crescent, _cluster,
)  # fmt: skip


@cache
def _spread(side: int, cells: int) -> Tensor:
    """(side, cells): bicubic interpolation along one axis, as a matrix."""
    unit = torch.eye(cells)[:, None, None, :].expand(-1, 1, 4, -1)
    return interpolate(unit, size=(4, side), mode="bicubic", align_corners=False)[:, 0, 0].T.contiguous()


def _length(u: Tensor) -> Tensor:
    """Norm over the axes of space; several times as fast as the library's for three of them."""
    return u.square().sum(1).sqrt()


class _Scene:
    """A group of scenes being drawn: (B, 3, S, S) arrays, slices k = 0, 1, 2."""

    def __init__(self, world: World, seed: int) -> None:
        self.chance = Chance(seed, world.group)
        self.side = world.scene
        line = torch.linspace(-1, 1, world.scene)
        y, x = torch.meshgrid(line, line, indexing="ij")
        step = self.chance.log_uniform(0.01, 0.3)
        z = step * torch.tensor([-1.0, 0.0, 1.0])[None, :, None, None]
        self.step = step
        size = (self.chance.size, SLICES, world.scene, world.scene)
        self.at = torch.stack([axis.expand(size) for axis in (x, y, z)], dim=1)

    def field(self, channels: int, cells: int) -> Tensor:
        """(B, channels, 3, S, S) smooth noise of variance about 1, that changes from slice to slice."""
        rough = self.chance.normal(channels * 2, cells, cells)
        spread = _spread(self.side, cells)
        smooth = spread @ rough @ spread.T
        one, other = smooth.reshape(-1, channels, 2, 1, self.side, self.side).unbind(2)
        turn = (self.step * cells * 0.7 * torch.tensor([-1.0, 0.0, 1.0])[None, :, None, None])[:, None]
        return one * turn.cos() + other * turn.sin()

    def thing(self, centre: Tensor, radius: Tensor, kind: int) -> Tensor:
        """(B, 3, S, S) boolean: where a thing of that kind is.

        Args:
            centre: (B, 3, 1, 1, 1).
            radius: (B, 1, 1, 1), of the longest axis.
            kind: of `KINDS`.
        """
        chance = self.chance
        turn, _ = torch.linalg.qr(chance.normal(3, 3))
        axes = radius[:, None] * torch.cat(
            [torch.ones(chance.size, 1, 1, 1, 1), chance.uniform(0.45, 1, 2, 1, 1, 1)], dim=1
        )
        # Most things lie in the slice, some stand in any direction.
        flat = chance.happens(0.5)[:, 0, 0, 0, None, None]
        angle = chance.uniform(0, 6.3)[:, 0, 0, 0]
        zero, one = torch.zeros_like(angle), torch.ones_like(angle)
        within = torch.stack(
            [angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero, zero, zero, one], 1
        ).view(-1, 3, 3)
        turn = flat * within + (1 - flat) * turn
        u = torch.einsum("bij,bjkyx->bikyx", turn, self.at - centre) / axes
        bends = self.field(3, 4) * chance.uniform(0, 0.25)[:, None]
        if chance.one_of(3) == 0:  # jagged
            bends = bends + self.field(3, 20) * chance.uniform(0, 0.12)[:, None]
        return KINDS[kind](u + bends, chance) < 0


def _tissue(scene: _Scene) -> tuple[Tensor, Tensor]:
    """Background of several regions, and a texture for whatever is painted on it."""
    chance = scene.chance
    cells = (3, 5, 8)[chance.one_of(3)]
    strength = scene.field(5, cells)
    levels = chance.uniform(0, 1, 5) * chance.uniform(0, 1)[:, 0, 0] + chance.uniform(0, 0.7)[:, 0, 0]
    levels[:, 0] = levels[:, 0] * chance.uniform(0, 1)[:, 0, 0, 0]
    image, most = levels[:, 0].view(-1, 1, 1, 1).expand_as(strength[:, 0]), strength[:, 0]
    for number in range(1, strength.shape[1]):
        image = torch.where(strength[:, number] > most, levels[:, number].view(-1, 1, 1, 1), image)
        most = torch.maximum(most, strength[:, number])
    texture = sum(
        (scene.field(1, cells)[:, 0] * chance.uniform(0, 1) for cells in (10, 30)), torch.zeros_like(image)
    )
    return image, texture * chance.uniform(0, 0.12)


def _painted(scene: _Scene, world: World) -> tuple[Tensor, Tensor]:
    """The image before a scanner saw it, and the thing that is meant: (B, 3, S, S) each."""
    chance = scene.chance
    image, texture = _tissue(scene)
    rough = torch.ones_like(image)
    radius = chance.log_uniform(0.12, 0.65)
    centre = torch.cat(
        [chance.uniform(-0.3, 0.3, 2, 1, 1, 1), chance.normal(1, 1, 1, 1) * 0.3 * radius[:, None]], 1
    )
    level, contrast = chance.uniform(0, 1), chance.log_uniform(0.06, 0.7)
    meant = scene.thing(centre, radius, chance.one_of(len(KINDS)))
    around = image.mean((1, 2, 3), keepdim=True)
    level = torch.where(
        (level - around).abs() < contrast, around + contrast * (level - around).sign(), level
    )
    over = chance.one_of(4) == 0
    for number in range(world.others):
        size = chance.log_uniform(0.08, 0.5)
        place = torch.cat([chance.uniform(-1, 1, 2, 1, 1, 1), chance.normal(1, 1, 1, 1) * 0.2], 1)
        beside = chance.normal(3, 1, 1, 1)
        beside = (
            beside
            / _length(beside)[:, None]
            * (size + radius)[:, None]
            * chance.uniform(0.75, 1.2)[:, None]
        )
        near = chance.happens(0.5)[:, None]
        place = near * (centre + beside) + (1 - near) * place
        other = scene.thing(place, size, chance.one_of(len(KINDS)))
        alike = chance.happens(0.35)
        value = alike * level + (1 - alike) * chance.uniform(0, 1)
        if number == world.others - 1 and over:
            meant = meant & ~other  # one in front of it
        else:
            other = other & ~meant
        image = torch.where(other, value, image)
        rough = torch.where(other, alike + (1 - alike) * chance.uniform(0.3, 2), rough)
    image = torch.where(meant, level, image)
    rough = torch.where(meant, chance.uniform(0.3, 2), rough)
    if chance.one_of(3) == 0:
        # Something inside: a core that belongs to it, or a cavity that does not.
        core = scene.thing(centre, radius * chance.uniform(0.3, 0.7), chance.one_of(2)) & meant
        image = torch.where(core, chance.uniform(0, 1), image)
        cavity = chance.happens(0.5).bool()
        meant = torch.where(cavity, meant & ~core, meant)
    return image + texture * rough, meant


def _scanned(image: Tensor, scene: _Scene) -> Tensor:
    """What a scanner makes of it: blur, shading, shadows, noise of several kinds, ghosts, few pixels, another scale."""
    chance = scene.chance
    image = blurred(image, chance.uniform(0.2, 1.3))
    mixed = torch.cat([image[:, :1], image, image[:, -1:]], dim=1)
    leak = chance.uniform(0, 0.25)
    image = (1 - 2 * leak) * image + leak * (mixed[:, :-2] + mixed[:, 2:])
    image = image * (1 + chance.happens(0.5) * chance.uniform(0, 0.35) * scene.field(1, 2)[:, 0])
    columns = scene.field(1, 6)[:, 0, :, :1]
    image = image * (1 - chance.happens(0.15) * chance.uniform(0.2, 0.9) * (columns > 0.6).float())
    image = torch.where(chance.happens(0.3).bool(), 1 - image, image)
    image = image.clamp(min=0) ** chance.log_uniform(0.5, 2.0)
    image = image + chance.happens(0.12) * chance.uniform(0.1, 0.4) * image.roll(
        1 + chance.one_of(scene.side - 1), 2
    )
    amount = chance.log_uniform(0.004, 0.18)
    noise, second = chance.normal(*image.shape[1:]), chance.normal(*image.shape[1:])
    grain = blurred(noise, chance.uniform(0.6, 1.5)) * 2.5
    noise = torch.where(chance.happens(0.35).bool(), grain, noise)
    speckled, rician = (
        image * (1 + 3 * amount * noise),
        torch.hypot(image + amount * noise, amount * second),
    )
    sort = chance.uniform(0, 1)
    image = torch.where(sort < 0.2, speckled, torch.where(sort < 0.4, rician, image + amount * noise))
    if chance.one_of(4) == 0:
        few = max(16, int(scene.side / float(chance.uniform(1.5, 4)[0, 0, 0, 0])))
        image = interpolate(image, size=(few, few), mode="area")
        image = interpolate(image, size=(scene.side, scene.side), mode="bilinear", align_corners=False)
    return image


def _leveled(image: Tensor, meant: Tensor, chance: Chance) -> Tensor:
    """Grey levels to 0 to 1: by percentiles of the scene, or of the thing itself, as scans are normalised."""
    tight = chance.happens(0.5).bool().flatten()
    low, high = chance.uniform(0.002, 0.02).flatten(), chance.uniform(0.97, 0.998).flatten()
    for number in range(len(image)):
        values = image[number][meant[number]] if tight[number] else image[number].flatten()
        share = (
            torch.stack([low[number], high[number]]) if not tight[number] else torch.tensor([0.005, 0.995])
        )
        first, last = torch.quantile(values, share)
        image[number] = ((image[number] - first) / (last - first).clamp(min=1e-4)).clamp(0, 1)
    return image


def prompted_scenes(seed: int, world: World | None = None) -> tuple[Tensor, Tensor]:
    """A group of scenes with their prompts, as `Prompted` sees them; the same for the same seed.

    Args:
        seed: of everything.
        world: how large.

    Returns:
        (B, 5, side, side) float32 in the channels of `aleaseg.networks.prompted.CHANNELS`, and the truth
        (B, side, side) of 0 and 1. B is at most `group` x `views` of the world: scenes in which hardly
        anything of the thing is to be seen are left out.
    """
    world = world or World()
    scene = _Scene(world, seed)
    image, meant = _painted(scene, world)
    area = meant[:, 1].flatten(1).sum(1)
    usable = (area >= 12) & (area <= 0.8 * world.scene**2)
    meant = torch.where(usable[:, None, None, None], meant, torch.ones_like(meant))
    views = [
        _view(_scanned(image, scene), meant, usable, scene.chance, world.side) for _ in range(world.views)
    ]
    return torch.cat([seen for seen, _ in views]), torch.cat([truth for _, truth in views])


def _view(image: Tensor, meant: Tensor, usable: Tensor, chance: Chance, side: int) -> tuple[Tensor, Tensor]:
    """The scenes as one scanner saw them, with one prompt each."""
    region, points, window = prompts_of(meant, chance)
    image = _leveled(image, meant, chance)
    prompts, mask = torch.stack([region, points], 1), meant[:, 1:2].float()
    seen = torch.cat([cut(image, window, side), cut(prompts, window, side, "nearest")], dim=1)
    truth = cut(mask, window, side, "nearest")[:, 0]
    prompted = ((seen[:, 3] > 0) | (seen[:, 4] > 0)).flatten(1).any(1)
    there = usable & prompted & (truth.flatten(1).sum(1) >= 12)
    return seen[there], truth[there]
