#include "core/codec/bits.h"

MetasdMinimal
metasd_bits_minimal(uint32_t bound)
{
    MetasdMinimal code = {.bound = bound};

    while (bound >> code.bits > 1)
        code.bits++;
    /* Of twice as many codes as 2^bits, all that are left over after `bound` make brief ones. */
    code.brief = (uint32_t)(((uint64_t)2 << code.bits) - bound);
    return code;
}

void
metasd_bits_put_minimal(MetasdBitWriter *writer, const MetasdMinimal *code, uint32_t x)
{
    uint64_t longer = (uint64_t)x + code->brief;

    if (x < code->brief) {
        metasd_bits_put(writer, x, code->bits);
        return;
    }
    metasd_bits_put(writer, (uint32_t)(longer >> 1), code->bits);
    metasd_bits_put(writer, (uint32_t)(longer & 1), 1);
}

void
metasd_bits_put_golomb(MetasdBitWriter *writer, const MetasdMinimal *divisor, uint32_t x)
{
    uint32_t quotient = x / divisor->bound;

    for (; quotient >= 32; quotient -= 32)
        metasd_bits_put(writer, 0, 32);
    metasd_bits_put(writer, 0, quotient);
    metasd_bits_put(writer, 1, 1);
    metasd_bits_put_minimal(writer, divisor, x % divisor->bound);
}

void
metasd_bits_put_end(MetasdBitWriter *writer)
{
    if (writer->count > 0)
        metasd_bits_put(writer, 0, 8 - writer->count);
}

bool
metasd_bits_get_end(MetasdBitReader *reader)
{
    return !reader->failed && reader->at == reader->end && reader->count < 8 &&
           (reader->pending & (((uint64_t)1 << reader->count) - 1)) == 0;
}
