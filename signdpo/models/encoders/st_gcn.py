"""The encoder `st_gcn`: one spatio-temporal graph convolution (ST-GCN) stack per body part.

The architecture is that of Uni-Sign (Li et al., ICLR 2025) after Yan et al., AAAI 2018 (ST-GCN): a linear lift of each
joint, spatial graph convolutions within a frame, the feature of the joint that carries a part added to it, graph
convolutions over time, the mean over joints. Both hands share their weights.

Three things Uni-Sign does not have make a small model learn fast: ST-GCN's standardisation of every joint coordinate
(normalised hands vary by a tenth around a large constant), strides in time, and joints pooled early by a learned
projection, so that time is convolved over one vector a part instead of one a joint.

Frames are handled packed, padding left out, wherever a layer looks at one frame alone, and padding is zeroed before
every convolution over time: a clip's encoding does not depend on the batch it is in.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from signdpo.config import StGcnConfig
from signdpo.models.encoders.base import SkeletonEncoder
from signdpo.skeleton.layout import BONES, CHANNELS, NUM_JOINTS, PART_ANCHORS, PARTS

HANDS = ("left_hand", "right_hand")


def adjacency(part: str) -> Tensor:
    """Distance-partitioned adjacency of a part, `(2, joints, joints)` float32: self-links, then bones.

    Columns are normalised by the degree over both partitions, as in ST-GCN's distance partitioning with one hop.
    """
    joints = PARTS[part].stop - PARTS[part].start
    links = torch.eye(joints)
    for first, second in BONES[part]:
        links[first, second] = links[second, first] = 1.0
    normalised = links / links.sum(0, keepdim=True)
    itself = torch.eye(joints)
    return torch.stack([normalised * itself, normalised * (1 - itself)])


class GraphConvolution(nn.Module):
    """One graph convolution over the joints of a frame, with a learned adjacency.

    ST-GCN lifts the channels once a partition and then mixes the joints; here the joints are mixed first, which is the
    same sum in an order that needs fewer multiplications and no copies. `weight` and `bias` are those of the lift.
    """

    def __init__(self, *, in_channels: int, out_channels: int, adjacency: Tensor) -> None:
        super().__init__()
        partitions = adjacency.shape[0]
        lift = nn.Linear(in_channels, out_channels * partitions)
        self.weight = nn.Parameter(lift.weight.detach().view(partitions, out_channels, in_channels))
        self.bias = nn.Parameter(lift.bias.detach().view(partitions, out_channels))
        self.adjacency = nn.Parameter(adjacency.clone())
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """`(frames, joints, in_channels)` -> `(frames, joints, out_channels)`, packed frames only."""
        partitions, joints, _ = self.adjacency.shape
        mixing = self.adjacency.permute(2, 0, 1).reshape(joints * partitions, joints)
        mixed = torch.matmul(mixing, x).view(x.shape[0], joints, -1)  # (frames, joints, partitions * in_channels)
        weight = self.weight.permute(0, 2, 1).flatten(0, 1)  # (partitions * in_channels, out_channels)
        bias = torch.einsum("kvw,kc->wc", self.adjacency, self.bias)
        return _normalise(self.norm, mixed @ weight + bias).relu()


class SpatialBlock(nn.Module):
    """A graph convolution with a residual connection, within each frame."""

    def __init__(self, *, in_channels: int, out_channels: int, adjacency: Tensor) -> None:
        super().__init__()
        self.graph = GraphConvolution(in_channels=in_channels, out_channels=out_channels, adjacency=adjacency)
        self.shortcut = nn.Linear(in_channels, out_channels) if in_channels != out_channels else None
        self.shortcut_norm = nn.BatchNorm1d(out_channels) if self.shortcut is not None else None

    def forward(self, x: Tensor) -> Tensor:
        """`(frames, joints, in_channels)` -> `(frames, joints, out_channels)`, packed frames only."""
        residual = x
        if self.shortcut is not None and self.shortcut_norm is not None:
            residual = _normalise(self.shortcut_norm, self.shortcut(x))
        return (self.graph(x) + residual).relu()


class TemporalBlock(nn.Module):
    """A graph convolution, then a convolution over time, with a residual connection and an optional stride."""

    def __init__(self, *, in_channels: int, out_channels: int, adjacency: Tensor, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.graph = GraphConvolution(in_channels=in_channels, out_channels=out_channels, adjacency=adjacency)
        self.time = nn.Conv2d(out_channels, out_channels, (kernel, 1), (stride, 1), (kernel // 2, 0))
        self.norm = nn.BatchNorm1d(out_channels)
        plain = in_channels == out_channels and stride == 1
        self.shortcut = None if plain else nn.Linear(in_channels, out_channels)
        self.shortcut_norm = None if plain else nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """`(frames, joints, channels)` packed and `(batch, time)` bool -> the same, time divided by the stride."""
        kept = mask[:, :: self.stride]
        padded = _unpack(self.graph(x), mask)  # (batch, time, joints, channels), zero where padded
        # The permuted view is what PyTorch calls channels_last: no copy, and the fast path on CPU and GPU.
        over_time = self.time(padded.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # (batch, time / stride, ...)
        residual = x
        if self.shortcut is not None and self.shortcut_norm is not None:
            strided = x if self.stride == 1 else _unpack(x, mask)[:, :: self.stride][kept]
            residual = _normalise(self.shortcut_norm, self.shortcut(strided))
        return (_normalise(self.norm, over_time[kept]) + residual).relu(), kept


class PartEncoder(nn.Module):
    """The ST-GCN stack of one part."""

    def __init__(self, config: StGcnConfig, part: str) -> None:
        super().__init__()
        graph = adjacency(part)
        joints = graph.shape[-1]
        self.lift = nn.Linear(CHANNELS, config.joint_dim)
        widths = (config.joint_dim, *config.spatial_channels)
        self.spatial = nn.ModuleList(
            SpatialBlock(in_channels=before, out_channels=after, adjacency=graph)
            for before, after in itertools.pairwise(widths)
        )
        self.pool = None
        width = widths[-1]
        if config.joint_pooling == "early":
            self.pool = nn.Linear(joints * width, config.temporal_channels)
            width, graph = config.temporal_channels, torch.ones(1, 1, 1)  # from here on one joint, linked to itself
        self.temporal = nn.ModuleList()
        for stride in config.temporal_strides:
            block = TemporalBlock(
                in_channels=width,
                out_channels=config.temporal_channels,
                adjacency=graph,
                kernel=config.temporal_kernel,
                stride=stride,
            )
            self.temporal.append(block)
            width = config.temporal_channels

    def frames(self, x: Tensor) -> Tensor:
        """`(frames, joints, 3)` packed -> `(frames, joints, spatial_channels[-1])`."""
        x = self.lift(x)
        for block in self.spatial:
            x = block(x)
        return x

    def sequence(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Packed frames and `(batch, time)` bool -> `(positions, temporal_channels)` packed and the strided mask."""
        if self.pool is not None:
            x = self.pool(x.flatten(1))[:, None]
        for block in self.temporal:
            x, mask = block(x, mask)
        return x.mean(1), mask


class StGcnEncoder(SkeletonEncoder):
    """An ST-GCN stack per part of the body, joined and projected to the language model's width."""

    settings = StGcnConfig

    def __init__(self, config: StGcnConfig, *, output_dim: int) -> None:
        super().__init__(config, output_dim=output_dim)
        self.stride = math.prod(config.temporal_strides)
        self.standardize = nn.BatchNorm1d(NUM_JOINTS * CHANNELS) if config.standardize else None
        self.body = PartEncoder(config, "body")
        self.hand = PartEncoder(config, "left_hand")  # either hand: they share their weights
        self.face = PartEncoder(config, "face")
        self.part_embedding = nn.Parameter(torch.zeros(config.temporal_channels * len(PARTS)))
        self.project = nn.Linear(config.temporal_channels * len(PARTS), output_dim)

    def forward(self, keypoints: Tensor, frame_mask: Tensor) -> tuple[Tensor, Tensor]:
        frames = keypoints[frame_mask]  # (all real frames, 69, 3)
        if self.standardize is not None:
            frames = self.standardize(frames.flatten(1)).view_as(frames)
        body = self.body.frames(frames[:, PARTS["body"]])
        pooled = {}
        pooled["body"], kept = self.body.sequence(body, frame_mask)
        face = self.face.frames(frames[:, PARTS["face"]]) + _anchor(body, "face")
        pooled["face"], _ = self.face.sequence(face, frame_mask)
        pooled.update(self._hands(frames, body, frame_mask))
        joined = torch.cat([pooled[part] for part in PARTS], dim=-1) + self.part_embedding
        return _unpack(self.project(joined), kept), kept

    def _hands(self, frames: Tensor, body: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        """Both hands in one pass, as a batch twice as large: they share their weights."""
        stacked = torch.cat([frames[:, PARTS[hand]] for hand in HANDS])
        anchors = torch.cat([_anchor(body, hand) for hand in HANDS])
        features = self.hand.frames(stacked) + anchors
        positions, _ = self.hand.sequence(features, frame_mask.repeat(len(HANDS), 1))
        return dict(zip(HANDS, positions.chunk(len(HANDS)), strict=True))


def _anchor(body: Tensor, part: str) -> Tensor:
    """The feature of the body joint that carries a part, `(frames, 1, channels)`; no gradient, as in Uni-Sign."""
    return body[:, PART_ANCHORS[part], None].detach()


def _normalise(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    return norm(x.flatten(0, -2)).view_as(x)


def _unpack(packed: Tensor, mask: Tensor) -> Tensor:
    """`(real frames, ...)` and `(batch, time)` -> `(batch, time, ...)`, zero where padded."""
    padded = packed.new_zeros(*mask.shape, *packed.shape[1:])
    padded[mask] = packed
    return padded
