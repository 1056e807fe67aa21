"""The tools and the things that lie between them: outlines and surfaces, in whole numbers.

Points are given as ``u`` along and ``v`` across a thing, in thousandths of its length, from its middle.
Outlines say which points belong to a thing; surfaces give the height there, -1, 0 or 1.
"""
# ruff: noqa: ARG001, PLR2004 (outlines are numbers, and all surfaces are called alike)

import numpy as np


def hammer(u, v):
    """Say which points belong to a hammer: a handle, and a head with a flat face and a claw."""
    handle = (u >= -500) & (u <= 360) & (np.abs(v) <= 92)
    face = (u >= 270) & (u <= 500) & (v >= -290) & (v <= 120)
    claw = (v > 120) & (v <= 330) & (u >= 250 + (v - 120) // 2) & (u <= 500 - (v - 120) // 3)
    return handle | face | claw


def wrench(u, v):
    """Say which points belong to a wrench: a shaft between a ring and an open jaw."""
    across = np.abs(v)
    from_ring = (u + 335) ** 2 + v * v
    from_jaw = (u - 300) ** 2 + v * v
    shaft = (u >= -300) & (u <= 250) & (across <= 98)
    eye = from_ring <= 66**2
    mouth = (u >= 290) & (across <= 78)
    return (shaft | (from_ring <= 165**2) | (from_jaw <= 205**2)) & ~eye & ~mouth


def screwdriver(u, v):
    """Say which points belong to a screwdriver: a grip, a shaft and a wider tip."""
    across = np.abs(v)
    grip = (u >= -500) & (u <= -40) & (across <= np.minimum(142, 166 - np.abs(u + 270) // 9))
    shaft = (u >= -60) & (u <= 500) & (across <= 66)
    tip = (u >= 420) & (u <= 500) & (across <= 92)
    return grip | shaft | tip


def nail(u, v):
    """Say which points belong to a nail."""
    return (np.abs(u) <= 500) & (np.abs(v) <= 90)


def washer(u, v):
    """Say which points belong to a washer."""
    distance = u * u + v * v
    return (distance <= 330**2) & (distance >= 140**2)


def offcut(u, v):
    """Say which points belong to an offcut of wood, a block without one corner."""
    return (np.abs(u) <= 400) & (np.abs(v) <= 250) & (u + v <= 350)


def plain(u, v):
    """Give the height of a smooth surface: -1, 0 or 1 at each point."""
    return np.zeros_like(u)


def wound(u, v):
    """Give the height of a surface that is wound with cord across its length."""
    return 1 - 2 * ((u // 55) % 2)


def knurled(u, v):
    """Give the height of a surface that is milled into small squares."""
    return 1 - 2 * ((u // 60 + v // 60) % 2)


def dimpled(u, v):
    """Give the height of a surface with rows of round dimples."""
    return 1 - 2 * ((v % 75 - 37) ** 2 + (u % 80 - 40) ** 2 < 27**2)
