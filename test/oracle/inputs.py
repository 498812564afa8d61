"""Random inputs: weights, batches and class weights.

A seed gives the same numbers on every machine. The generator is the Mersenne Twister MT19937; one
integer seeds it in the way its authors published. The golden files were first made with PyTorch, so
its 32-bit words are used in PyTorch's way: 53 bits of two words make a uniform number, 16 uniform
numbers make 16 normal ones (Box and Muller), and an index is a word modulo the number of choices.
"""
import math
import random

from autodiff import Matrix
from training_step import Model, Triples

BLOCK = 16


class Generator:
    def __init__(self, seed):
        state = [seed & 0xFFFFFFFF]
        for i in range(1, 624):
            previous = state[-1]
            state.append((1812433253 * (previous ^ previous >> 30) + i) & 0xFFFFFFFF)
        self.random = random.Random()
        self.random.setstate((3, tuple(state) + (624,), None))

    def word(self):
        return self.random.getrandbits(32)

    def index(self, choices):
        return self.word() % choices

    def uniform(self):
        high = self.word()
        return ((high << 32 | self.word()) & (1 << 53) - 1) / (1 << 53)

    def normals(self, count):
        """Blocks of 16. Numbers that are left over are drawn anew, with others before them."""
        drawn = [self.uniform() for _ in range(max(count, BLOCK))]
        for start in range(0, len(drawn) - BLOCK + 1, BLOCK):
            drawn[start : start + BLOCK] = block_of_normals(drawn[start : start + BLOCK])
        if len(drawn) % BLOCK:
            drawn[-BLOCK:] = block_of_normals([self.uniform() for _ in range(BLOCK)])
        return drawn[:count]


def block_of_normals(uniforms):
    half = BLOCK // 2
    pairs = [
        (math.sqrt(-2.0 * math.log(1.0 - uniforms[i])), 2.0 * math.pi * uniforms[i + half])
        for i in range(half)
    ]
    return [radius * math.cos(angle) for radius, angle in pairs] + [
        radius * math.sin(angle) for radius, angle in pairs
    ]


def draw_table(generator, rows, rank, scale):
    """A real and an imaginary part; a row is drawn with its real parts first."""
    both = [value * scale for value in generator.normals(rows * 2 * rank)]
    starts = range(0, len(both), 2 * rank)
    return (
        Matrix(rows, rank, (value for i in starts for value in both[i : i + rank])),
        Matrix(rows, rank, (value for i in starts for value in both[i + rank : i + 2 * rank])),
    )


def draw_model(generator, options):
    entities = draw_table(generator, options.entities, options.rank, options.scale)
    relations = draw_table(generator, 2 * options.relations, options.rank, options.scale)
    return Model(*entities, *relations)


def draw_triples(generator, count, options):
    """Heads first, then relations (reciprocal ones included), then tails."""
    choices = (options.entities, 2 * options.relations, options.entities)
    return Triples(*([generator.index(most) for _ in range(count)] for most in choices))


def class_weights(triples, entities):
    """0.1 for an entity that is not in the batch, up to 1 for one that is in it most often."""
    counts = [0] * entities
    for entity in triples.heads + triples.tails:
        counts[entity] += 1
    return [0.1 + 0.9 * count / max(counts) for count in counts]
