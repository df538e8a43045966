#include "detect/ransom/note.h"

#include <ctype.h>

#include "base/cleanup.h"

#define WORDS_MAX 48
#define PARTS_MIN 3

enum part { PART_CLAIM, PART_OFFER, PART_CONTACT, PART_THREAT, PART_COUNT };

/* In lower case. English, Japanese, Chinese, Korean, German, French, Spanish, Portuguese, Italian, Russian. */
static const char *const words[PART_COUNT][WORDS_MAX] = {
        [PART_CLAIM] = {"files are encrypted",
                        "files have been encrypted",
                        "files were encrypted",
                        "data is encrypted",
                        "data has been encrypted",
                        "data are encrypted",
                        "network has been",
                        "files are locked",
                        "files have been locked",
                        "encrypted all your",
                        "encrypted your",
                        "locked your",
                        "have been hacked",
                        "files are stolen",
                        "data are stolen",
                        "data has been stolen",
                        "are now encrypted",
                        "暗号化され",
                        "暗号化しま",
                        "暗号化しています",
                        "ロックされ",
                        "盗み出し",
                        "窃取し",
                        "已被加密",
                        "已加密",
                        "被锁定",
                        "암호화되",
                        "암호화했",
                        "verschlüsselt",
                        "chiffrés",
                        "chiffrées",
                        "cryptés",
                        "cifrados",
                        "encriptados",
                        "criptografados",
                        "sono stati criptati",
                        "stati crittografati",
                        "зашифрован"},
        [PART_OFFER] = {"decrypt",
                        "recover your",
                        "restore your",
                        "unlock your",
                        "get your files back",
                        "return your files",
                        "private key",
                        "recovery of your",
                        "復号",
                        "復元",
                        "取り戻",
                        "解除する",
                        "解密",
                        "恢复",
                        "복호화",
                        "복구",
                        "entschlüssel",
                        "wiederherstell",
                        "déchiffr",
                        "récupérer",
                        "descifrar",
                        "desencriptar",
                        "recuperar",
                        "decifra",
                        "decriptare",
                        "recuperare",
                        "расшифров",
                        "восстанов"},
        [PART_CONTACT] = {".onion",     "tor browser", "torproject",     "bitcoin",      " btc",
                          "monero",     " xmr",        "cryptocurrency", "wallet",       "ransom",
                          "onionmail",  "protonmail",  "proton.me",      "tutanota",     "cock.li",
                          "qtox",       "tox id",      "tox chat",       "telegram",     "session id",
                          "contact us", "write to us", "pay us",         "personal id",  "your id:",
                          "暗号資産",   "仮想通貨",    "ビットコイン",   "身代金",       "支払",
                          "ご連絡",     "连系",        "联系",           "比特币",       "付款",
                          "비트코인",   "연락",        "lösegeld",       "kontaktieren", "rançon",
                          "contactez",  "rescate",     "resgate",        "riscatto",     "выкуп",
                          "биткоин",    "свяжитесь"},
        [PART_THREAT] = {"do not rename",
                         "don't rename",
                         "do not modify",
                         "don't modify",
                         "do not try to",
                         "do not delete",
                         "third party",
                         "third-party",
                         "will be published",
                         "will be leaked",
                         "publish your",
                         "sell your",
                         "leak site",
                         "permanently lost",
                         "lost forever",
                         "damage your",
                         "72 hours",
                         "48 hours",
                         "24 hours",
                         "price will",
                         "will be doubled",
                         "do not contact the police",
                         "law enforcement",
                         "公開しま",
                         "公開され",
                         "改変しない",
                         "変更しない",
                         "名前を変え",
                         "削除しない",
                         "時間以内",
                         "二度と",
                         "警察",
                         "请勿",
                         "不要修改",
                         "公开",
                         "공개",
                         "수정하지",
                         "nicht umbenennen",
                         "veröffentlich",
                         "ne renommez",
                         "publiées",
                         "no modifique",
                         "publicados",
                         "não renomeie",
                         "non rinominare",
                         "не переименов",
                         "опубликован"},
};

static bool is_said(struct view text, enum part part) {
        for (size_t i = 0; i < WORDS_MAX && words[part][i]; i++)
                if (view_find(text, 0, words[part][i], strlen(words[part][i])) != SIZE_MAX)
                        return true;
        return false;
}

/* Lower case, runs of white space as one blank: a line may break anywhere. Of UTF-16, what is ASCII. */
static size_t fold(struct view text, unsigned char *out) {
        size_t n = 0;
        for (size_t i = 0; i < text.size; i++) {
                unsigned char c = text.data[i];
                if (c == 0)
                        continue;
                c = isspace(c) ? ' ' : (unsigned char)(c < 0x80 ? tolower(c) : c);
                if (c != ' ' || (n && out[n - 1] != ' '))
                        out[n++] = c;
        }
        return n;
}

unsigned note_parts(struct view text) {
        static unsigned char folded[NOTE_BYTES_MAX]; /* one thread */
        struct view view = {folded, fold(view_head(text, NOTE_BYTES_MAX), folded)};
        unsigned n = 0;
        if (!is_said(view, PART_CLAIM) || !is_said(view, PART_CONTACT))
                return 0;
        for (enum part part = 0; part < PART_COUNT; part++)
                n += is_said(view, part);
        return n >= PARTS_MIN ? n : 0;
}
