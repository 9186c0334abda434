"""The lx106 port's own float and 64-bit arithmetic, held against this machine's, bit by bit."""

from __future__ import annotations

import subprocess

from firmware_host import tool

from edgeprof.firmware import path

CHECK = """
#include <stdio.h>
#include <string.h>
#define ROM(name) rom_##name
#include "ports/lx106/rom.c"
static uint64_t state = 88172645463325252u;
static uint32_t any(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}
/* Patterns that meet each other: near exponents, subnormals, few bits, the ends. */
static uint32_t pattern(void) {
    uint32_t u = any();
    switch (any() & 7u) {
    case 0: return u & 0x807fffffu;
    case 1: return (u & 0x807fffffu) | (100u + (any() & 31u)) << 23;
    case 2: return (u & 0x80000000u) | (any() & 255u) << 23 | (any() & 7u);
    case 3: return (u & 0x80000000u) | ((any() & 255u) << 23) | (0x7fffffu & ~(any() & 7u));
    case 4: return (u & 0x807fffffu) | (uint32_t)(250u + (any() % 6u)) << 23;
    default: return u;
    }
}
static int wrong(const char *what, uint32_t a, uint32_t b, uint32_t got, uint32_t wanted) {
    if (got == wanted) return 0;
    if ((got & 0x7fffffffu) > 0x7f800000u && (wanted & 0x7fffffffu) > 0x7f800000u) return 0; /* both not a number */
    printf("%s %08x %08x: %08x, not %08x\\n", what, a, b, got, wanted);
    return 1;
}
int main(void) {
    int bad = 0;
    for (long i = 0; i < 4000000 && bad < 10; i++) {
        uint32_t a = pattern(), b = (any() & 15u) ? pattern() : a_neighbour(a);
        volatile float x = float_of(a), y = float_of(b), s = x + y, d = x - y, p = x * y;
        bad += wrong("add", a, b, bits_of(rom_addsf3(x, y)), bits_of(s));
        bad += wrong("sub", a, b, bits_of(rom_subsf3(x, y)), bits_of(d));
        bad += wrong("mul", a, b, bits_of(rom_mulsf3(x, y)), bits_of(p));
        uint32_t n = any() >> (any() & 31u);
        bad += wrong("int", n, 0, bits_of(rom_floatsisf((int32_t)n)), bits_of((float)(int32_t)n));
        bad += wrong("unsigned", n, 0, bits_of(rom_floatunsisf(n)), bits_of((float)n));
        if (x > -2e9f && x < 2e9f) bad += wrong("fix", a, 0, (uint32_t)rom_fixsfsi(x), (uint32_t)(int32_t)x);
        if (x >= 0 && x < 4e9f) bad += wrong("fixu", a, 0, rom_fixunssfsi(x), (uint32_t)x);
        uint32_t m = (any() >> (any() & 31u)) | 1u;
        bad += wrong("div", n, m, rom_udivsi3(n, m), n / m) + wrong("mod", n, m, rom_umodsi3(n, m), n % m);
        int32_t sn = (int32_t)n, sm = (int32_t)m;
        if (sm != -1) bad += wrong("sdiv", n, m, (uint32_t)rom_divsi3(sn, sm), (uint32_t)(sn / sm));
        uint64_t c = (uint64_t)any() << 32 | any(), e = ((uint64_t)any() << 32 | any()) >> (any() & 63u);
        bad += rom_muldi3(c, e) != c * e;
        if (e && !(i & 31)) bad += rom_udivdi3(c, e) != c / e || rom_umoddi3(c, e) != c % e;
    }
    return bad != 0;
}
"""
NEIGHBOUR = "static uint32_t a_neighbour(uint32_t a) { return (a ^ 0x80000000u) + (any() & 3u) - 1u; }\n"


def check(folder, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "check.c").write_text(source)
    command = [
        tool("gcc"),
        "-std=c99",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-I",
        str(path()),
        "-o",
        "check",
        "check.c",
    ]
    subprocess.run(command, cwd=folder, check=True)
    return subprocess.run([str(folder / "check")], capture_output=True, text=True, check=False)


def test_arithmetic_has_the_same_bits_as_this_machine(tmp_path):
    before, main = CHECK.split("int main")
    done = check(tmp_path, before + NEIGHBOUR + "int main" + main)
    assert done.returncode == 0, done.stdout


def test_a_wrong_rounding_is_found(tmp_path):
    rom = path("ports", "lx106", "rom.c").read_text()
    assert "low == 64 &&" in rom
    (tmp_path / "ports" / "lx106").mkdir(parents=True)
    (tmp_path / "ports" / "lx106" / "rom.c").write_text(rom.replace("low == 64 && (m & 1u)", "low == 64"))
    before, main = CHECK.split("int main")
    done = check(tmp_path, before + NEIGHBOUR + "int main" + main)
    assert done.returncode != 0
