#!/usr/bin/env python3
"""The rows of test_codec.c as src/core/codec.h says they are stored; it has nothing of the codec.

Bits are kept as text, and numbers are exact: python3 test/unit/golden/rows.py prints C arrays.
"""
from fractions import Fraction
from math import floor, log
from struct import pack, unpack


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def leb(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + leb(n >> 7)


def low_first(x, n):
    """n bits of x, the lowest first."""
    return "".join(str(x >> i & 1) for i in range(n))


def minimal(x, bound):
    """A minimal binary code: the first codes are a bit shorter than the others."""
    bits = bound.bit_length() - 1
    brief = 2 ** (bits + 1) - bound
    if x < brief:
        return low_first(x, bits)
    x += brief
    return low_first(x >> 1, bits) + low_first(x & 1, 1)


def golomb(x, divisor):
    return "0" * (x // divisor) + "1" + minimal(x % divisor, divisor)


def positions(keeps):
    """Gaps between those that are kept, or pruned where these are fewer."""
    width, kept = len(keeps), sum(keeps)
    listed = [i for i, k in enumerate(keeps) if k == (kept <= width - kept)]
    if not listed:
        return ""
    # ln 2 times the mean distance, less a half, rounded
    divisor = floor(log(2) * (2 * width - len(listed)) / (2 * len(listed)) + 0.5)
    return "".join(golomb(i - before - 1, divisor) for before, i in zip([-1] + listed, listed))


def single(x):
    return unpack("<f", pack("<f", x))[0]


SHAPES = ((6, 18, 31, 44, 58, 75, 96, 127), (19, 29, 39, 51, 64, 79, 98, 127),
          (32, 41, 50, 59, 71, 84, 101, 127), (52, 57, 63, 72, 80, 91, 106, 127))


def quantise(row, levels, top, shape=0):
    """Levels of the weights, and the sum of squared errors."""
    if levels == 127:  # whole steps from the first one on
        step = top / levels
        level = [max(0, min(floor(abs(Fraction(x)) / step + Fraction(1, 2)), levels) - 1) for x in row]
        stored = [Fraction(single(float((q + 1) * step))) for q in level]
    elif levels == 32:
        half = top / (2 * levels - 1)
        level = [min(floor(abs(Fraction(x)) / (2 * half)), levels - 1) for x in row]
        stored = [Fraction(single(float((2 * q + 1) * half))) for q in level]
    else:  # the nearest code of the shape
        codes, unit = SHAPES[shape], float(top) / 127
        limits = [single(0.5 * (a + b) * unit) for a, b in zip(codes, codes[1:])]
        level = [sum(abs(x) >= limit for limit in limits) for x in row]
        stored = [Fraction(single(codes[q] * unit)) for q in level]
    return level, sum((abs(Fraction(x)) - s) ** 2 for x, s in zip(row, stored))


def without_low_bits(x):
    """A float without its lower 17 bits."""
    return Fraction(unpack("<f", pack("<I", unpack("<I", pack("<f", x))[0] >> 17 << 17))[0])


def find_top(weights, levels):
    """The largest magnitude or, of few levels, the part of it that has the least error; the shape."""
    high = max(abs(Fraction(x)) for x in weights)
    if levels > 8:
        return high, 0
    tops = [without_low_bits(float(high * Fraction(32 - i, 32))) for i in range(20)]
    for shape in range(4):
        if quantise(weights, levels, tops[0], shape)[1] == 0:
            return tops[0], shape
    shape = min(range(4), key=lambda s: (min(quantise(weights, levels, tops[i], s)[1] for i in (1, 7, 13)), s))
    least = None
    for top in tops:
        error = quantise(weights, levels, top, shape)[1]
        if least is not None and error > 2 * least:
            break
        if least is None or error < least:
            least, best = error, top
    if min(quantise(weights, levels, best, shape)[0]) == levels - 1:
        shape = 0
    return best, shape


def encode(storage, row, flag=True):
    row = [single(x) for x in row]
    keeps = [x != 0 for x in row]
    half = len(row) // 2
    alike = flag and len(row) % 2 == 0 and 0 < sum(keeps) < len(row) and keeps[:half] == keeps[half:]
    levels = {"float32": 0, "int8": 127, "int6": 32, "int4": 8}[storage]
    weights = [x for x in row if x != 0]
    bits = positions(keeps[:half] if alike else keeps)
    scale = b""
    if levels:
        top, shape = find_top(weights, levels)
        level = quantise(weights, levels, top, shape)[0]
        lowest = min(level) if levels > 8 else 0
        bits_of_top = unpack("<I", pack("<f", float(top)))[0]
        scale = (pack("<I", bits_of_top) + bytes([lowest]) if levels > 8 else
                 pack("<H", bits_of_top >> 17 << 2 | shape))
        for q, x in zip(level, weights):
            bits += minimal(2 * (q - lowest) + (x < 0), 2 * (levels - lowest))
    else:
        for x in weights:
            bits += low_first(unpack("<I", pack("<f", x))[0], 32)
    bits += "0" * (-len(bits) % 8)
    stream = bytes(int(bits[i:i + 8][::-1], 2) for i in range(0, len(bits), 8))
    kind = 1 + ["float32", "int8", "int6", "int4"].index(storage) + (128 if alike else 0)
    head, rest = bytes([1, kind]), leb(len(row)) + leb(len(weights)) + scale + stream
    return head + pack("<I", crc32c(head + rest)) + rest


def show(name, row, storage, flag=True):
    data = encode(storage, row, flag)
    print("/* %s, %s */ {%d, %d, {%s}}," % (name, storage, len(row), len(data),
                                            ", ".join("0x%02x" % b for b in data)))


def row_of(width, weights):
    return [weights.get(i, 0) for i in range(width)]


sparse = row_of(300, {2: 1, 5: -0.3, 40: 0.75, 41: 1.4, 299: -2})
crowded = [0.5, -0.625, 0.75, -0.875, 1, -1.125, 0, -1.375, 1.5]
halves = row_of(16, {2: 1, 5: -0.5, 10: 0.25, 13: -2})
for row, name in ((sparse, "sparse"), (crowded, "crowded")):
    for storage in ("float32", "int8", "int6", "int4"):
        show(name, row, storage)
for storage in ("float32", "int8"):
    show("halves", halves, storage)
show("halves told twice", halves, "float32", False)
