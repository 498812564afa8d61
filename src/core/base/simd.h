/*
 * simd.h - functions compiled for several instruction sets, of which the processor chooses one.
 */
#ifndef METASD_CORE_BASE_SIMD_H
#define METASD_CORE_BASE_SIMD_H

/*
 * Compiled once for each instruction set worth having and chosen when the library
 * is loaded, by what the processor can do (the name of a processor would only
 * choose for that one); plain C elsewhere. Sanitizers do not know such dispatch.
 */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && __GNUC__ >= 12 &&        \
    !defined(__clang__) && !defined(METASD_PLAIN)
#define METASD_DISPATCH 1
#define METASD_VECTORISE                                                                           \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define METASD_DISPATCH 0
#define METASD_VECTORISE
#endif

/* Instruction sets that kernels are written for by hand, the best one first. */
typedef enum MetasdSet { METASD_SET_V4, METASD_SET_V3, METASD_SET_PLAIN, METASD_SETS } MetasdSet;

/* The i-th of those that this processor can run; METASD_SETS behind the last. */
extern MetasdSet metasd_simd_instruction_set(int i);

/*
 * Defines NAME_at(i), the kernels of metasd_simd_instruction_set(i), and NAME(), those of the best
 * set, from `plain` and, where sets are dispatched, `v3` and `v4` of the file.
 */
#if METASD_DISPATCH
#define METASD_KERNEL_SETS [METASD_SET_V4] = &v4, [METASD_SET_V3] = &v3, [METASD_SET_PLAIN] = &plain
#else
#define METASD_KERNEL_SETS [METASD_SET_PLAIN] = &plain
#endif
#define METASD_KERNEL_CHOICE(type, name)                                                           \
    const type *name##_at(int i)                                                                   \
    {                                                                                              \
        static const type *const kernels[METASD_SETS + 1] = {METASD_KERNEL_SETS};                  \
                                                                                                   \
        return kernels[metasd_simd_instruction_set(i)];                                            \
    }                                                                                              \
    const type *name(void)                                                                         \
    {                                                                                              \
        return name##_at(0);                                                                       \
    }

#endif
