#include "detect/ransom/unpack.h"

#include <bzlib.h>
#include <errno.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "base/cleanup.h"

#define CHUNK_BYTES    ((size_t)64 << 10)
#define STREAMS_MAX    10000 /* a stream may hold nothing */
#define WINDOW_LOG_MAX 26

/* What comes out goes through here. */
struct sink {
        struct view expected;
        unsigned char *head;
        struct unpacked *unpacked;
        bool differs;
};

/* Returns false when enough came out. */
static bool sink_take(struct sink *sink, const unsigned char *data, size_t size) {
        struct unpacked *unpacked = sink->unpacked;
        struct view rest = unpacked->size < sink->expected.size
                                   ? view_from(sink->expected, (size_t)unpacked->size)
                                   : (struct view){NULL, 0};
        size_t both = rest.size < size ? rest.size : size;
        sink->differs = sink->differs || (both && memcmp(rest.data, data, both) != 0);
        if (sink->head && unpacked->n_head < UNPACK_HEAD_BYTES) {
                size_t room = UNPACK_HEAD_BYTES - unpacked->n_head, n = size < room ? size : room;
                memcpy(sink->head + unpacked->n_head, data, n);
                unpacked->n_head += n;
        }
        unpacked->crc32 = (uint32_t)crc32(unpacked->crc32, data, (uInt)size);
        unpacked->size += size;
        return unpacked->size < UNPACK_BYTES_MAX;
}

/* One decoder: a step takes input, gives output and says how it went. */
enum step { STEP_MORE, STEP_END, STEP_BROKEN };

struct decoder {
        union {
                z_stream z;
                lzma_stream lzma;
                bz_stream bz;
                ZSTD_DStream *zstd;
        };
        bool may_follow; /* another stream may stand behind the end of one */
};

struct step_result {
        size_t taken, given;
        enum step step;
};

struct coder {
        int (*begin)(struct decoder *decoder);
        struct step_result (*step)(struct decoder *decoder, struct view in, unsigned char *out);
        void (*end)(struct decoder *decoder);
};

static int inflate_begin_bits(struct decoder *decoder, int bits, bool may_follow) {
        decoder->z = (z_stream){0};
        decoder->may_follow = may_follow;
        return inflateInit2(&decoder->z, bits) == Z_OK ? 0 : -ENOMEM;
}

static int gzip_begin(struct decoder *decoder) {
        return inflate_begin_bits(decoder, 15 + 16, true);
}

static int zlib_begin(struct decoder *decoder) {
        return inflate_begin_bits(decoder, 15, false);
}

static int deflate_begin(struct decoder *decoder) {
        return inflate_begin_bits(decoder, -15, false);
}

static struct step_result inflate_step(struct decoder *decoder, struct view in, unsigned char *out) {
        z_stream *z = &decoder->z;
        z->next_in = (unsigned char *)in.data;
        z->avail_in = in.size > UINT32_MAX ? UINT32_MAX : (uInt)in.size;
        uInt offered = z->avail_in;
        z->next_out = out;
        z->avail_out = CHUNK_BYTES;
        int r = inflate(z, Z_NO_FLUSH);
        return (struct step_result){.taken = offered - z->avail_in,
                                    .given = CHUNK_BYTES - z->avail_out,
                                    .step = r == Z_STREAM_END               ? STEP_END
                                            : r == Z_OK || r == Z_BUF_ERROR ? STEP_MORE
                                                                            : STEP_BROKEN};
}

static void inflate_end(struct decoder *decoder) {
        inflateEnd(&decoder->z);
}

static int xz_begin(struct decoder *decoder) {
        decoder->lzma = (lzma_stream)LZMA_STREAM_INIT;
        decoder->may_follow = true;
        return lzma_stream_decoder(&decoder->lzma, UNPACK_MEMORY_MAX, 0) == LZMA_OK ? 0 : -ENOMEM;
}

static struct step_result xz_step(struct decoder *decoder, struct view in, unsigned char *out) {
        lzma_stream *lzma = &decoder->lzma;
        lzma->next_in = in.data;
        lzma->avail_in = in.size;
        lzma->next_out = out;
        lzma->avail_out = CHUNK_BYTES;
        lzma_ret r = lzma_code(lzma, LZMA_RUN);
        return (struct step_result){.taken = in.size - lzma->avail_in,
                                    .given = CHUNK_BYTES - lzma->avail_out,
                                    .step = r == LZMA_STREAM_END                  ? STEP_END
                                            : r == LZMA_OK || r == LZMA_BUF_ERROR ? STEP_MORE
                                                                                  : STEP_BROKEN};
}

static void xz_end(struct decoder *decoder) {
        lzma_end(&decoder->lzma);
}

static int zstd_begin(struct decoder *decoder) {
        decoder->may_follow = true;
        decoder->zstd = ZSTD_createDStream();
        if (!decoder->zstd)
                return -ENOMEM;
        ZSTD_DCtx_setParameter(decoder->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
        return 0;
}

static struct step_result zstd_step(struct decoder *decoder, struct view in, unsigned char *out) {
        ZSTD_inBuffer input = {in.data, in.size, 0};
        ZSTD_outBuffer output = {out, CHUNK_BYTES, 0};
        size_t r = ZSTD_decompressStream(decoder->zstd, &output, &input);
        return (struct step_result){.taken = input.pos,
                                    .given = output.pos,
                                    .step = ZSTD_isError(r) ? STEP_BROKEN
                                            : r == 0        ? STEP_END
                                                            : STEP_MORE};
}

static void zstd_end(struct decoder *decoder) {
        ZSTD_freeDStream(decoder->zstd);
}

static int bzip2_begin(struct decoder *decoder) {
        decoder->bz = (bz_stream){0};
        decoder->may_follow = true;
        return BZ2_bzDecompressInit(&decoder->bz, 0, 0) == BZ_OK ? 0 : -ENOMEM;
}

static struct step_result bzip2_step(struct decoder *decoder, struct view in, unsigned char *out) {
        bz_stream *bz = &decoder->bz;
        bz->next_in = (char *)in.data;
        bz->avail_in = in.size > UINT32_MAX ? UINT32_MAX : (unsigned)in.size;
        unsigned offered = bz->avail_in;
        bz->next_out = (char *)out;
        bz->avail_out = CHUNK_BYTES;
        int r = BZ2_bzDecompress(bz);
        return (struct step_result){.taken = offered - bz->avail_in,
                                    .given = CHUNK_BYTES - bz->avail_out,
                                    .step = r == BZ_STREAM_END ? STEP_END
                                            : r == BZ_OK       ? STEP_MORE
                                                               : STEP_BROKEN};
}

static void bzip2_end(struct decoder *decoder) {
        BZ2_bzDecompressEnd(&decoder->bz);
}

static const struct coder coders[] = {
        [PACKING_GZIP] = {gzip_begin, inflate_step, inflate_end},
        [PACKING_ZLIB] = {zlib_begin, inflate_step, inflate_end},
        [PACKING_DEFLATE] = {deflate_begin, inflate_step, inflate_end},
        [PACKING_XZ] = {xz_begin, xz_step, xz_end},
        [PACKING_ZSTD] = {zstd_begin, zstd_step, zstd_end},
        [PACKING_BZIP2] = {bzip2_begin, bzip2_step, bzip2_end},
};

/* One stream. Returns 0 or -ENOMEM; ret_step is STEP_MORE where the input ended first or enough came out. */
static int run_stream(const struct coder *coder, struct view *in, struct sink *sink, unsigned char *out,
                      bool *ret_may_follow, enum step *ret_step) {
        struct decoder decoder;
        int r = coder->begin(&decoder);
        if (r < 0)
                return r;
        for (;;) {
                struct step_result result = coder->step(&decoder, *in, out);
                *in = view_from(*in, result.taken);
                sink->unpacked->n_used += result.taken;
                bool wants_more = !result.given || sink_take(sink, out, result.given);
                *ret_step = result.step;
                if (result.step != STEP_MORE || !wants_more || (!result.taken && !result.given))
                        break;
        }
        *ret_may_follow = decoder.may_follow;
        coder->end(&decoder);
        return 0;
}

int unpack(const struct unpack_task *task, struct unpacked *ret_unpacked) {
        _cleanup_(freep) unsigned char *out = malloc(CHUNK_BYTES);
        struct unpacked unpacked = {0};
        struct sink sink = {.expected = task->expected, .head = task->head, .unpacked = &unpacked};
        enum step step = STEP_BROKEN;
        bool may_follow = true;
        unsigned n_streams = 0;
        struct view in = task->packed;
        if (!out)
                return -ENOMEM;
        while (in.size && may_follow && unpacked.size < UNPACK_BYTES_MAX && n_streams < STREAMS_MAX &&
               (!n_streams || packing_of(in) == task->packing)) {
                int r = run_stream(&coders[task->packing], &in, &sink, out, &may_follow, &step);
                if (r < 0)
                        return r;
                n_streams++;
                if (step != STEP_END)
                        break;
        }
        bool is_bounded = unpacked.size >= UNPACK_BYTES_MAX;
        unpacked.is_whole = step == STEP_END && in.size == 0 && !task->is_cut && !is_bounded;
        unpacked.is_sound = unpacked.is_whole || (step == STEP_END && !may_follow) ||
                            (step != STEP_BROKEN && (task->is_cut || is_bounded));
        bool is_ended = step == STEP_END && !is_bounded && !(task->is_cut && may_follow);
        unpacked.is_equal =
                unpacked.is_sound && !sink.differs && unpacked.size > 0 && task->expected.size > 0 &&
                (is_ended ? unpacked.size == task->expected_bytes : unpacked.size <= task->expected_bytes);
        *ret_unpacked = unpacked;
        return 0;
}

enum packing packing_of(struct view view) {
        if (view_starts(view, "\x1f\x8b\x08"))
                return PACKING_GZIP;
        if (view.size >= 6 && !memcmp(view.data,
                                      "\xfd"
                                      "7zXZ\0",
                                      6))
                return PACKING_XZ;
        if (view_starts(view, "\x28\xb5\x2f\xfd"))
                return PACKING_ZSTD;
        if (view.size >= 10 && view_starts(view, "BZh") && view.data[3] >= '1' && view.data[3] <= '9' &&
            (!memcmp(view.data + 4, "\x31\x41\x59\x26\x53\x59", 6) ||
             !memcmp(view.data + 4, "\x17\x72\x45\x38\x50\x90", 6)))
                return PACKING_BZIP2;
        if (view.size >= 2 && view.data[0] == 0x78 && (view.data[0] * 256 + view.data[1]) % 31 == 0)
                return PACKING_ZLIB;
        return PACKING_NONE;
}
