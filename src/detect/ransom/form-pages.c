/* Databases: pages of one size, each with a header that says so. A page of zeros is one that was never used. */
#include "detect/ransom/form.h"

static bool is_zero(struct view page) {
        return page.size < 64 || (!page.data[0] && !memcmp(page.data, page.data + 1, 63));
}

/* --- SQLite: fileformat2.html --- */

#define SQLITE_HEADER 100

static bool is_sqlite_page(struct view page, size_t header, uint64_t n_pages) {
        unsigned char kind = page.data[header];
        uint64_t cells = form_big(page, header + 3, 2), content = form_big(page, header + 5, 2);
        if (kind == 2 || kind == 5 || kind == 10 || kind == 13)
                return cells < page.size / 4 && (content == 0 || content <= page.size);
        /* overflow and free pages begin with the number of the next, a map of pointers with a kind of its own */
        return header == 0 && (form_big(page, 0, 4) <= n_pages || (kind >= 1 && kind <= 5));
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

/* --- PostgreSQL: bufpage.h, layout 4 --- */

#define POSTGRES_PAGE 8192

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
        for (size_t i = 0; (i + 1) * POSTGRES_PAGE <= file->head.size; i++) {
                struct view page = {file->head.data + i * POSTGRES_PAGE, POSTGRES_PAGE};
                form_count(check, is_zero(page) || is_postgres_page(page));
        }
}

/* --- InnoDB: fil0types.h --- */

#define INNODB_PAGE    16384
#define INNODB_FSP_HDR 8

static bool is_innodb_page(struct view page, size_t number) {
        return form_big(page, 4, 4) == number && form_big(page, 20, 4) == form_big(page, INNODB_PAGE - 4, 4);
}

bool form_is_innodb(struct view head) {
        return head.size >= INNODB_PAGE && form_big(head, 24, 2) == INNODB_FSP_HDR &&
               form_big(head, 4, 4) == 0;
}

void form_check_innodb(const struct form_file *file, struct form_check *check) {
        for (size_t i = 0; (i + 1) * INNODB_PAGE <= file->head.size; i++) {
                struct view page = {file->head.data + i * INNODB_PAGE, INNODB_PAGE};
                form_count(check, is_zero(page) || is_innodb_page(page, i));
        }
}
