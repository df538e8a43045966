/* Databases: pages of one size, each with a header that says so. A page of zeros is one that was never used. */
#include "detect/ransom/form.h"

static bool is_zero(struct view page) {
        return page.size < 64 || (!page.data[0] && !memcmp(page.data, page.data + 1, 63));
}

/* --- SQLite: fileformat2.html --- */

#define SQLITE_HEADER 100

enum { SQLITE_INDEX = 2, SQLITE_TABLE = 5, SQLITE_INDEX_LEAF = 10, SQLITE_TABLE_LEAF = 13 };

/* Big-endian, seven bits a byte, eight in the ninth. Returns the bytes taken, 0 past the end. */
static size_t read_varint(struct view view, uint64_t *ret_value) {
        uint64_t value = 0;
        for (size_t i = 0; i < 9 && i < view.size; i++) {
                value = i == 8 ? value << 8 | view.data[i] : value << 7 | (view.data[i] & 0x7f);
                if (i == 8 || !(view.data[i] & 0x80)) {
                        *ret_value = value;
                        return i + 1;
                }
        }
        return 0;
}

static uint64_t serial_bytes(uint64_t type) {
        static const unsigned char fixed[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0};
        return type < sizeof(fixed) ? fixed[type] : (type - 12) / 2;
}

/* Cells may overlap in what an attacker made: more are not looked at. */
#define SQLITE_CELLS_MAX   512
#define SQLITE_COLUMNS_MAX 64

/* The header of a record lists its columns; together they are as long as the record. */
static bool is_sqlite_record(struct view record, uint64_t size) {
        uint64_t header, type, columns = 0;
        size_t at = read_varint(record, &header), taken;
        if (!at || header > size || header < at)
                return false;
        for (unsigned n = 0; at < header && at < record.size; at += taken, columns += serial_bytes(type))
                if (n++ == SQLITE_COLUMNS_MAX || !(taken = read_varint(view_from(record, at), &type)))
                        return true; /* or the rest stands on another page */
        return at < header || (at == header && columns == size - header);
}

static bool is_sqlite_cell(struct view cell, unsigned char kind, uint64_t n_pages) {
        uint64_t size, row;
        if (kind == SQLITE_INDEX || kind == SQLITE_TABLE) {
                if (form_big(cell, 0, 4) == 0 || form_big(cell, 0, 4) > n_pages)
                        return false;
                cell = view_from(cell, 4);
        }
        if (kind == SQLITE_TABLE)
                return true;
        size_t n = read_varint(cell, &size);
        cell = view_from(cell, n);
        size_t n_row = kind == SQLITE_TABLE_LEAF ? read_varint(cell, &row) : 0;
        return n && (n_row || kind != SQLITE_TABLE_LEAF) && is_sqlite_record(view_from(cell, n_row), size);
}

static bool is_sqlite_page(struct view page, size_t header, uint64_t n_pages) {
        unsigned char kind = page.data[header];
        uint64_t n_cells = form_big(page, header + 3, 2), content = form_big(page, header + 5, 2);
        bool is_leaf = kind == SQLITE_INDEX_LEAF || kind == SQLITE_TABLE_LEAF;
        size_t pointers = header + (is_leaf ? 8 : 12);
        /* overflow and free pages begin with the number of the next, a map of pointers with a kind of its own */
        if (!is_leaf && kind != SQLITE_INDEX && kind != SQLITE_TABLE)
                return header == 0 && (form_big(page, 0, 4) <= n_pages || (kind >= 1 && kind <= 5));
        if (n_cells > (page.size - pointers) / 2 || (content && content > page.size))
                return false;
        for (size_t i = 0; i < n_cells && i < SQLITE_CELLS_MAX; i++) {
                size_t at = (size_t)form_big(page, pointers + 2 * i, 2);
                if (at < pointers || at >= page.size || !is_sqlite_cell(view_from(page, at), kind, n_pages))
                        return false;
        }
        return true;
}

void form_check_sqlite(const struct form_file *file, struct form_check *check) {
        size_t page_size = (size_t)form_big(file->head, 16, 2);
        page_size = page_size == 1 ? 65536 : page_size;
        if (page_size < 512 || (page_size & (page_size - 1))) {
                form_count(check, false);
                return;
        }
        uint64_t n_pages = file->size_bytes / page_size;
        for (size_t i = 0; (i + 1) * page_size <= file->head.size; i++) {
                struct view page = {file->head.data + i * page_size, page_size};
                form_count(check, is_zero(page) || is_sqlite_page(page, i ? 0 : SQLITE_HEADER, n_pages));
        }
}

/*
 * The others carry a number in each page that grows with whatever is written to it. A page that was written to
 * and kept its number was not written to by the database. Hints are: single bytes, far apart.
 */
#define RUN_MIN 16
#define GAP_MAX 3

static bool has_run(struct view before, struct view after) {
        size_t run = 0, gap = 0;
        for (size_t i = 0; i < before.size; i++) {
                gap = before.data[i] == after.data[i] ? gap + 1 : 0;
                run = gap > GAP_MAX ? 0 : run + 1;
                if (run >= RUN_MIN)
                        return true;
        }
        return false;
}

static bool is_unnumbered_write(const struct form_file *file, size_t at, size_t size, size_t number_at) {
        if (file->original.size < at + size)
                return false;
        struct view before = {file->original.data + at, size}, after = {file->head.data + at, size};
        return form_big(before, number_at, 8) == form_big(after, number_at, 8) && !is_zero(before) &&
               memcmp(before.data, after.data, size) != 0 && has_run(before, after);
}

/* --- PostgreSQL: bufpage.h, layout 4 --- */

#define POSTGRES_PAGE   8192
#define POSTGRES_NUMBER 0

static bool is_postgres_page(struct view page) {
        uint64_t lower = form_little(page, 12, 2), upper = form_little(page, 14, 2);
        uint64_t special = form_little(page, 16, 2);
        return form_little(page, 18, 2) == (POSTGRES_PAGE | 4) && lower >= 24 && lower <= upper &&
               upper <= special && special <= POSTGRES_PAGE;
}

bool form_is_postgres(struct view head) {
        return head.size >= POSTGRES_PAGE && is_postgres_page(view_head(head, POSTGRES_PAGE));
}

void form_check_postgres(const struct form_file *file, struct form_check *check) {
        for (size_t at = 0; at + POSTGRES_PAGE <= file->head.size; at += POSTGRES_PAGE) {
                struct view page = {file->head.data + at, POSTGRES_PAGE};
                form_count(check,
                           is_zero(page) || (is_postgres_page(page) &&
                                             !is_unnumbered_write(file, at, POSTGRES_PAGE, POSTGRES_NUMBER)));
        }
}

/* --- InnoDB: fil0types.h --- */

#define INNODB_PAGE    16384
#define INNODB_NUMBER  16
#define INNODB_FSP_HDR 8

static bool is_innodb_page(struct view page, size_t number) {
        return form_big(page, 4, 4) == number && form_big(page, 20, 4) == form_big(page, INNODB_PAGE - 4, 4);
}

bool form_is_innodb(struct view head) {
        return head.size >= INNODB_PAGE && form_big(head, 24, 2) == INNODB_FSP_HDR &&
               form_big(head, 4, 4) == 0;
}

void form_check_innodb(const struct form_file *file, struct form_check *check) {
        for (size_t at = 0; at + INNODB_PAGE <= file->head.size; at += INNODB_PAGE) {
                struct view page = {file->head.data + at, INNODB_PAGE};
                form_count(check,
                           is_zero(page) || (is_innodb_page(page, at / INNODB_PAGE) &&
                                             !is_unnumbered_write(file, at, INNODB_PAGE, INNODB_NUMBER)));
        }
}
