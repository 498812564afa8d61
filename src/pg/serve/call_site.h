/*
 * call_site.h - the state of one call in a query, kept from row to row, and its arguments.
 */
#ifndef METASD_PG_SERVE_CALL_SITE_H
#define METASD_PG_SERVE_CALL_SITE_H

#include "pg/base/compat.h"

#define METASD_MOST_IDENTIFIERS 4

/* A type of identifiers that are given (identifier.h). */
typedef struct MetasdIdentifier {
    Oid type;        /* its domain looked through; InvalidOid before it is prepared */
    FmgrInfo output; /* its result is the label, */
    bool cast;       /* as a text, and not as a C string */
} MetasdIdentifier;

/* A type that labels are converted to. */
typedef struct MetasdLabelInput {
    Oid type; /* InvalidOid before it is prepared */
    Oid parameter;
    FmgrInfo input;
} MetasdLabelInput;

/* Kept in fn_extra. */
typedef struct MetasdCallSite {
    MetasdIdentifier given[METASD_MOST_IDENTIFIERS]; /* one for each argument */
    MetasdLabelInput result[2];                      /* of entities, and of relations */
    bool noticed;        /* a NOTICE about something unknown has been given */
    bool doubted;        /* one that nothing speaks for a triple (explain.c), too */
    bool source_checked; /* whether another relation has the source's name */
    /* The run and the generation (trust.h) for which the source was found readable. */
    uint64 source_generation;
    int64 source_run;
    struct MetasdCandidateList *candidates; /* candidates.c */
    struct MetasdKnownWhole *whole;         /* known_whole.c */
    struct MetasdNewcomers *newcomers;      /* newcomer.c */
} MetasdCallSite;

/* The call site of this call; a new one is all zeros. */
extern MetasdCallSite *metasd_call_site(FunctionCallInfo fcinfo);

/* Is one of the arguments FIRST to END - 1 NULL? */
extern bool metasd_call_any_null(FunctionCallInfo fcinfo, int first, int end);

/* Argument N as a number of answers. */
extern uint32 metasd_call_limit(FunctionCallInfo fcinfo, int n);

/* Argument N as a side: true for "head", false for "tail". */
extern bool metasd_call_side_is_head(FunctionCallInfo fcinfo, int n);

#endif
