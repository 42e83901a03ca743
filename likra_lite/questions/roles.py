"""Roles of choices: the kind of answer that each is, where the items' metadata tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .item import Item

__all__ = ["RIGHT", "roles_of", "shared_roles"]

RIGHT = "right"


def roles_of(items: Sequence[Item]) -> NDArray[np.str_] | None:
    """Return the role of every choice, if the items' metadata tell.

    Roles are names such as ``right``, ``tempting`` or ``unrelated`` in
    ``item.metadata["roles"]``, one for each choice, with ``right`` for the answer and nothing
    else. Where any item has none, or something else under that name, none count.

    Returns
    -------
    ndarray of shape (n_choices,) or None
    """
    found: list[str] = []
    for item in items:
        roles = item.metadata.get("roles")
        if (
            not isinstance(roles, list | tuple)
            or len(roles) != len(item.choices)
            or not all(isinstance(role, str) for role in roles)
            or [role == RIGHT for role in roles]
            != [place == item.answer for place in range(len(roles))]
        ):
            return None
        found.extend(roles)
    return np.array(found)


def shared_roles(items: Sequence[Item]) -> list[str]:
    """Return the roles of wrong choices that every item has."""
    roles = roles_of(items)
    if roles is None:
        return []
    shared = set.intersection(*(set(item.metadata["roles"]) for item in items))
    return [role for role in dict.fromkeys(roles.tolist()) if role in shared - {RIGHT}]
