/*
 * Messages from the ledger to one peer that may not read at the moment: sent in order, kept while the
 * socket is full, never waited for. For roles/ledger.c alone.
 *
 * Entries forwarded to the engine need not all arrive: it reads what it missed from the ledger's files when it
 * sees a gap. So past MAIL_ENTRIES_MAX waiting ones only the newest is kept.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#define MAIL_ENTRIES_MAX 256

struct mail;

/* `fd` -1: a peer that is not there; everything is dropped. Makes the descriptor non-blocking. */
int mail_new(sd_event *event, int fd, struct mail **ret_mail);
struct mail *mail_free(struct mail *mail);

/* Takes `body` over (it may be NULL: out of memory, nothing is sent). */
void mail_send(struct mail *mail, json_t *body);
void mail_send_entry(struct mail *mail, json_t *body);

/* The peer was restarted: what was meant for the one before goes. */
void mail_clear(struct mail *mail);
