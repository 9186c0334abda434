"""What recorded results say of the machine."""

from __future__ import annotations

import platform

from machine import machine, release


def test_a_kernel_is_its_release_and_not_its_build():
    assert [release(said) for said in ("6.18.44-fc-v1", "24.5.0", "11", "x")] == ["6.18", "24.5", "11", ""]
    assert machine()["kernel"] == f"{platform.system()} {release(platform.release())}"
