#include "pg/survey/question_file.h"

#include <fcntl.h>

#include "utils/memutils.h"

/* A batch has at least so many questions, unless it is the last of its side. */
#define LEAST_QUESTIONS 16

#define FILE_NAME "questions"

/* A question in memory, with room for answers. */
typedef struct Room {
    MetasdSweepQuestion question;
    uint32 capacity;
} Room;

struct MetasdQuestionFile {
    BufFile *file;
    MetasdQuestionIndex *index;
    MemoryContext context;
    Room next, found;
    uint64 position; /* of the file */
    uint64 at, end;  /* the rest of the batch that this process has taken */
};

/* What comes before the answers of a question. */
typedef struct Header {
    uint32 row, entity, count;
} Header;

static uint64
join_numbers(uint32 row, uint32 entity)
{
    return (uint64)row << 32 | entity;
}

static MetasdQuestionFile *
create_file(MetasdQuestionIndex *index)
{
    MetasdQuestionFile *file = palloc0(sizeof(*file));

    file->index = index;
    file->context = CurrentMemoryContext;
    return file;
}

/* Makes room for COUNT answers. */
static void
grow_room(const MetasdQuestionFile *file, Room *room, uint32 count)
{
    Size bytes;

    if (count <= room->capacity)
        return;
    room->capacity = (uint32)Min(Max(2 * (uint64)room->capacity, Max(count, 64)), PG_UINT32_MAX);
    bytes = (Size)room->capacity * sizeof(uint32);
    room->question.answers = room->question.answers ? repalloc_huge(room->question.answers, bytes)
                                                    : MemoryContextAllocHuge(file->context, bytes);
}

/* ---- writing ---- */

typedef struct Writer {
    MetasdQuestionFile *file;
    uint32 relations;
    uint64 full;  /* questions of a full batch */
    uint64 batch; /* questions of the batch so far */
} Writer;

static void
write_bytes(MetasdQuestionFile *file, void *data, size_t bytes)
{
    BufFileWrite(file->file, data, bytes);
    file->position += bytes;
}

static void
start_batch(Writer *writer, uint64 first)
{
    MetasdQuestionIndex *index = writer->file->index;

    index->batch[index->batches++] =
        (MetasdQuestionBatch){.at = writer->file->position, .first = first};
    writer->batch = 0;
}

/* Writes the question that has been collected. */
static void
write_question(Writer *writer)
{
    MetasdQuestionFile *file = writer->file;
    MetasdQuestionIndex *index = file->index;
    const MetasdSweepQuestion *question = &file->next.question;
    Header header = {.row = question->row, .entity = question->entity, .count = question->count};
    bool heads = question->row >= writer->relations;
    bool first_of_heads = heads && index->questions[METASD_SIDE_HEADS] == 0;

    if (index->batches == 0 || writer->batch == writer->full || first_of_heads)
        start_batch(writer, join_numbers(question->row, question->entity));
    if (first_of_heads)
        index->first_of_heads = index->batches - 1;
    write_bytes(file, &header, sizeof(header));
    write_bytes(file, question->answers, question->count * sizeof(uint32));
    writer->batch++;
    index->questions[heads ? METASD_SIDE_HEADS : METASD_SIDE_TAILS]++;
    index->questions[METASD_BOTH_SIDES]++;
    index->answers += question->count;
}

/* Collects the answers of each question in turn. */
static void
write_questions(Writer *writer, MetasdSortedFacts *facts)
{
    Room *room = &writer->file->next;
    MetasdSweepQuestion *question = &room->question;
    MetasdAnsweredQuestion one;
    bool any = false;

    while (metasd_sorted_facts_next(facts, &one)) {
        if (any && (one.row != question->row || one.entity != question->entity)) {
            write_question(writer);
            any = false;
        }
        if (!any) {
            question->row = one.row;
            question->entity = one.entity;
            question->count = 0;
            any = true;
        }
        if (one.answer == METASD_NO_ANSWER)
            continue;
        grow_room(writer->file, room, question->count + 1);
        question->answers[question->count++] = one.answer;
    }
    if (any)
        write_question(writer);
}

MetasdQuestionFile *
metasd_question_file_write(MetasdSortedFacts *facts, uint32 relations, SharedFileSet *file_set,
                           MetasdQuestionIndex *index)
{
    MetasdQuestionFile *file = create_file(index);
    Writer writer = {.file = file, .relations = relations};

    memset(index->questions, 0, sizeof(index->questions));
    index->batches = 0;
    index->answers = 0;
    writer.full = Max(LEAST_QUESTIONS, metasd_sorted_facts_count(facts) / METASD_MOST_BATCHES + 1);
    file->file = file_set ? metasd_buffile_create(file_set, FILE_NAME) : BufFileCreateTemp(false);
    write_questions(&writer, facts);
    if (index->questions[METASD_SIDE_HEADS] == 0)
        index->first_of_heads = index->batches;
    index->batch[index->batches] =
        (MetasdQuestionBatch){.at = file->position, .first = PG_UINT64_MAX};
    if (file_set)
        metasd_buffile_export(file->file);
    return file;
}

/* ---- reading ---- */

MetasdQuestionFile *
metasd_question_file_open(SharedFileSet *file_set, MetasdQuestionIndex *index)
{
    MetasdQuestionFile *file = create_file(index);

    file->file = metasd_buffile_open(file_set, FILE_NAME);
    return file;
}

void
metasd_question_file_rewind(MetasdQuestionIndex *index, MetasdSides sides)
{
    pg_atomic_init_u32(&index->next, sides & METASD_SIDE_TAILS ? 0 : index->first_of_heads);
    pg_atomic_init_u64(&index->taken, 0);
    index->end = sides & METASD_SIDE_HEADS ? index->batches : index->first_of_heads;
}

static void
seek(MetasdQuestionFile *file, uint64 position)
{
    if (file->position == position)
        return;
    if (BufFileSeek(file->file, 0, (off_t)position, SEEK_SET) != 0)
        ereport(ERROR, (errcode_for_file_access(),
                        errmsg("could not seek questions in a temporary file: %m")));
    file->position = position;
}

static void
read_bytes(MetasdQuestionFile *file, void *data, size_t bytes)
{
    if (BufFileRead(file->file, data, bytes) != bytes)
        ereport(ERROR, (errcode_for_file_access(),
                        errmsg("could not read questions from a temporary file: %m")));
    file->position += bytes;
}

/* Reads the rest of a question. */
static void
read_question(MetasdQuestionFile *file, const Header *header, Room *room)
{
    grow_room(file, room, header->count);
    room->question.row = header->row;
    room->question.entity = header->entity;
    room->question.count = header->count;
    read_bytes(file, room->question.answers, header->count * sizeof(uint32));
}

/* Takes another batch; false if there are none. */
static bool
take_batch(MetasdQuestionFile *file)
{
    MetasdQuestionIndex *index = file->index;
    uint32 batch;

    if (pg_atomic_read_u32(&index->next) >= index->end) /* so that the number does not overflow */
        return false;
    batch = pg_atomic_fetch_add_u32(&index->next, 1);
    if (batch >= index->end)
        return false;
    file->at = index->batch[batch].at;
    file->end = index->batch[batch + 1].at;
    return true;
}

const MetasdSweepQuestion *
metasd_question_file_next(MetasdQuestionFile *file)
{
    Header header;

    CHECK_FOR_INTERRUPTS();
    if (file->at == file->end && !take_batch(file))
        return NULL;
    seek(file, file->at);
    read_bytes(file, &header, sizeof(header));
    read_question(file, &header, &file->next);
    file->at = file->position;
    pg_atomic_fetch_add_u64(&file->index->taken, 1);
    return &file->next.question;
}

/* The batch that would have that question: the last one that does not start behind it. */
static uint32
find_batch(const MetasdQuestionIndex *index, uint64 question)
{
    uint32 low = 0, high = index->batches; /* the batch is in low .. high - 1 */

    while (high - low > 1) {
        uint32 middle = low + (high - low) / 2;

        if (index->batch[middle].first <= question)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Reads what comes before the answers of the question at *AT, and moves there to the next one. */
static Header
read_header(MetasdQuestionFile *file, uint64 *at)
{
    Header header;

    seek(file, *at);
    read_bytes(file, &header, sizeof(header));
    *at = file->position + header.count * sizeof(uint32);
    return header;
}

const MetasdSweepQuestion *
metasd_question_file_find(MetasdQuestionFile *file, uint32 row, uint32 entity)
{
    const MetasdQuestionIndex *index = file->index;
    uint64 question = join_numbers(row, entity), at, end;
    uint32 batch;

    if (index->batches == 0)
        return NULL;
    batch = find_batch(index, question);
    at = index->batch[batch].at;
    end = index->batch[batch + 1].at;
    while (at < end) {
        Header header = read_header(file, &at);
        uint64 one = join_numbers(header.row, header.entity);

        if (one > question)
            break;
        if (one == question) {
            read_question(file, &header, &file->found);
            return &file->found.question;
        }
    }
    return NULL;
}

void
metasd_question_file_degrees(MetasdQuestionFile *file, uint32 row, uint32 *degrees)
{
    const MetasdQuestionIndex *index = file->index;
    uint64 at, end = index->batch[index->batches].at;

    if (index->batches == 0)
        return;
    at = index->batch[find_batch(index, join_numbers(row, 0))].at;
    while (at < end) {
        Header header = read_header(file, &at);

        CHECK_FOR_INTERRUPTS();
        if (header.row > row)
            break;
        if (header.row < row)
            continue;
        degrees[header.entity] = 1 + header.count;
    }
}

void
metasd_question_file_close(MetasdQuestionFile *file)
{
    BufFileClose(file->file);
    if (file->next.question.answers)
        pfree(file->next.question.answers);
    if (file->found.question.answers)
        pfree(file->found.question.answers);
    pfree(file);
}
