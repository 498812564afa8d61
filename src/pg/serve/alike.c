/*
 * alike.c - a label that may have been meant by one that a model does not know.
 *
 * Letters are folded as the database's own collation does it, or where that knows ASCII alone as
 * one does that knows Unicode. As a model may have millions of labels, nearly all are ruled out
 * before that: they have other letters among those of ASCII, or another number of characters.
 */
#include "pg/serve/alike.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_namespace.h"
#include "mb/pg_wchar.h"
#include "utils/formatting.h"
#include "utils/pg_locale.h"
#include "utils/syscache.h"

/* No longer one is a slip of the keyboard. */
#define MOST_BYTES 1000

/* Labels between two looks for interrupts. */
#define LABELS_PER_LOOK 1024

static inline bool
is_ascii_space(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Bytes of the space that TEXT, not empty, begins with; 0: it is none. */
static int
space_bytes(const char *text, int character)
{
    unsigned char c = (unsigned char)*text;
    pg_wchar code;

    if (c < 0x80)
        return is_ascii_space(c);
    if (GetDatabaseEncoding() != PG_UTF8 ||
        character < Max(2, pg_utf_mblen((const unsigned char *)text)))
        return 0;
    code = utf8_to_unicode((const unsigned char *)text);
    return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200b) ||
                   code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f ||
                   code == 0x3000 || code == 0xfeff
               ? character
               : 0;
}

/* What all labels alike have in common, and is fast to find out. */
typedef struct Outline {
    uint32 characters; /* that are no spaces */
    uint32 hash; /* of those of ASCII, in lower case; but no I, which Turkish folds elsewhere */
} Outline;

static Outline
outline_of(MetasdLabel label)
{
    Outline outline = {0, 2166136261u};
    const char *end = label.data + label.len;

    for (const char *at = label.data; at < end;) {
        unsigned char c = (unsigned char)*at;
        int character = c < 0x80 ? 1 : Min(pg_mblen(at), (int)(end - at));

        if (space_bytes(at, character) == 0) {
            outline.characters++;
            if (c < 0x80 && c != 'i' && c != 'I')
                outline.hash = (outline.hash ^ pg_ascii_tolower(c)) * 16777619u;
        }
        at += character;
    }
    return outline;
}

/* One that knows the letters of this encoding, where there is one. */
static Oid
folding_collation(void)
{
    static const char *const others[] = {"und-x-icu", "C.utf8", "C.UTF-8"};

    if (!lc_ctype_is_c(DEFAULT_COLLATION_OID) || GetDatabaseEncoding() != PG_UTF8)
        return DEFAULT_COLLATION_OID;
    for (int i = 0; i < (int)lengthof(others); i++) {
        static const int encodings[] = {-1, PG_UTF8};

        for (int e = 0; e < (int)lengthof(encodings); e++) {
            Oid collation = GetSysCacheOid3(COLLNAMEENCNSP, Anum_pg_collation_oid,
                                            CStringGetDatum(others[i]), Int32GetDatum(encodings[e]),
                                            ObjectIdGetDatum(PG_CATALOG_NAMESPACE));

            if (OidIsValid(collation))
                return collation;
        }
    }
    return DEFAULT_COLLATION_OID;
}

/* In lower case, each run of spaces one space, and none around it. */
static char *
folded(MetasdLabel label, Oid collation)
{
    char *text = palloc(label.len + 1);
    const char *end = label.data + label.len;
    size_t len = 0;
    bool space = false;

    for (const char *at = label.data; at < end;) {
        int character = Min(pg_mblen(at), (int)(end - at));

        if (space_bytes(at, character) > 0)
            space = len > 0;
        else {
            if (space)
                text[len++] = ' ';
            space = false;
            memcpy(text + len, at, character);
            len += character;
        }
        at += character;
    }
    /* What SQL_ASCII stores need be no text of the locale. */
    return GetDatabaseEncoding() == PG_SQL_ASCII ? asc_tolower(text, len)
                                                 : str_tolower(text, len, collation);
}

bool
metasd_alike_find(const MetasdLabelTable *labels, MetasdLabel label, MetasdLabel *alike)
{
    Oid collation = folding_collation();
    Outline outline;
    char *wanted;

    if (label.len > MOST_BYTES)
        return false;
    outline = outline_of(label);
    wanted = folded(label, collation);
    for (uint32 id = 0; id < labels->count && outline.characters > 0; id++) {
        Outline other;
        size_t len;

        if (id % LABELS_PER_LOOK == 0)
            CHECK_FOR_INTERRUPTS();
        alike->data = metasd_label_get(labels, id, &len);
        alike->len = (uint32)len;
        if (len > MOST_BYTES)
            continue;
        other = outline_of(*alike);
        if (other.characters == outline.characters && other.hash == outline.hash) {
            char *text = folded(*alike, collation);
            bool same = strcmp(text, wanted) == 0;

            pfree(text);
            if (same)
                return true;
        }
    }
    return false;
}
