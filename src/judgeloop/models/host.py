"""From the host to the device without waiting for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def to_device(value: Tensor, device: Any) -> Tensor:
    """The tensor on the device. To a GPU it is copied from pinned memory, so that the host can go on at once; on the
    device that it is on already it stays the same tensor."""
    if value.device.type == "cpu" and getattr(device, "type", device) == "cuda":
        return value.pin_memory().to(device, non_blocking=True)
    return value.to(device)
