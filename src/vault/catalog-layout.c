/* The tables of the catalog and every statement that is run on them. */
#include "vault/catalog-private.h"

#define NODE_TYPES                                                                                           \
        "mode INT NOT NULL,uid INT NOT NULL,gid INT NOT NULL,n_links INT NOT NULL,size_bytes INT NOT NULL,"  \
        "inode INT NOT NULL,mtime_ns INT NOT NULL,ctime_ns INT NOT NULL,digest BLOB,xattr_digest BLOB,"      \
        "link_target BLOB"

static const char schema[] =
        "CREATE TABLE tree(id INTEGER PRIMARY KEY,path BLOB NOT NULL UNIQUE,protect TEXT,profile TEXT,"
        "armed_ns INT NOT NULL DEFAULT 0);"
        "CREATE TABLE directory(id INTEGER PRIMARY KEY,tree INT NOT NULL,path BLOB NOT NULL,"
        "UNIQUE(tree,path));"
        "CREATE TABLE node(directory INT NOT NULL,name BLOB NOT NULL,release INT NOT NULL,"
        "from_ns INT NOT NULL," NODE_TYPES ",PRIMARY KEY(directory,name))WITHOUT ROWID;"
        "CREATE TABLE history(directory INT NOT NULL,name BLOB NOT NULL,until_ns INT NOT NULL,"
        "ended_by INT NOT NULL,release INT NOT NULL,from_ns INT NOT NULL," NODE_TYPES
        ",PRIMARY KEY(directory,name,until_ns))WITHOUT ROWID;"
        "CREATE TABLE release(id INTEGER PRIMARY KEY,tree INT NOT NULL,uid TEXT NOT NULL,name TEXT NOT NULL,"
        "kind TEXT NOT NULL,begin_ns INT NOT NULL,end_ns INT NOT NULL DEFAULT 0,n_added INT NOT NULL DEFAULT "
        "0,"
        "n_changed INT NOT NULL DEFAULT 0,n_removed INT NOT NULL DEFAULT 0);"
        "CREATE TABLE host(tree INT NOT NULL,name TEXT NOT NULL,PRIMARY KEY(tree,name))WITHOUT ROWID;";

static const char *const statements[N_STATEMENTS] = {
        [TREE_ADD] = "INSERT INTO tree(path,protect,profile)VALUES(?,?,?)ON CONFLICT(path)DO UPDATE SET "
                     "protect=excluded.protect,profile=excluded.profile",
        [TREE_FIND] = "SELECT id FROM tree WHERE path=?",
        [TREE_ARMED] = "SELECT armed_ns FROM tree WHERE id=?",
        [TREE_ARM] = "UPDATE tree SET armed_ns=?2 WHERE id=?1",
        [TREE_LIST] =
                "SELECT id,path,protect,profile,armed_ns,(SELECT count(*) FROM directory d JOIN node n ON "
                "n.directory=d.id WHERE d.tree=tree.id) FROM tree ORDER BY id",
        [TREE_CLEAR_NODES] = "DELETE FROM node WHERE directory IN(SELECT id FROM directory WHERE tree=?)",
        [TREE_CLEAR_DIRECTORIES] = "DELETE FROM directory WHERE tree=?",
        [DIRECTORY_FIND] = "SELECT id FROM directory WHERE tree=? AND path=?",
        [DIRECTORY_ADD] = "INSERT INTO directory(tree,path)VALUES(?,?)",
        [DIRECTORY_RANGE] = "SELECT id,path FROM directory WHERE tree=?1 AND(path=?2 OR path>=?3 AND path<?4)"
                            "ORDER BY path",
        [DIRECTORY_ALL] = "SELECT id,path FROM directory WHERE tree=? ORDER BY path",
        [NODE_GET] = "SELECT from_ns," NODE_COLUMNS " FROM node WHERE directory=? AND name=?",
        [NODE_GET_AT] = "SELECT " NODE_COLUMNS " FROM node WHERE directory=?1 AND name=?2 AND from_ns<=?3 "
                        "UNION ALL SELECT " NODE_COLUMNS " FROM history WHERE directory=?1 AND name=?2 AND "
                        "from_ns<=?3 AND until_ns>?3",
        [NODE_LIST] = "SELECT name," NODE_COLUMNS " FROM node WHERE directory=? ORDER BY name",
        [NODE_LIST_AT] = "SELECT name," NODE_COLUMNS " FROM node WHERE directory=?1 AND from_ns<=?2 "
                         "UNION ALL SELECT name," NODE_COLUMNS " FROM history WHERE directory=?1 AND "
                         "from_ns<=?2 AND until_ns>?2 ORDER BY name",
        [NODE_PUT] = "INSERT INTO node(directory,name,release,from_ns," NODE_COLUMNS
                     ")VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        [NODE_TOUCH] = "UPDATE node SET n_links=?3,size_bytes=?4,inode=?5,mtime_ns=?6,ctime_ns=?7 "
                       "WHERE directory=?1 AND name=?2",
        [NODE_RETIRE] = "INSERT INTO history(directory,name,until_ns,ended_by,release,from_ns," NODE_COLUMNS
                        ")SELECT directory,name,?3,?4,release,from_ns," NODE_COLUMNS
                        " FROM node WHERE directory=?1 AND name=?2",
        [NODE_DELETE] = "DELETE FROM node WHERE directory=? AND name=?",
        [HISTORY_FORGET] = "DELETE FROM history WHERE until_ns<?1 AND(?2 OR release=0)",
        [HISTORY_SURPLUS] =
                "SELECT until_ns+1 FROM history WHERE release=0 ORDER BY until_ns DESC LIMIT 1 OFFSET ?",
        [FORGOTTEN_NOTE] = "INSERT INTO forgotten VALUES(?1,?2)ON CONFLICT DO UPDATE SET "
                           "before_ns=max(before_ns,?2)",
        [FORGOTTEN_GET] = "SELECT max(before_ns) FROM forgotten WHERE what>=?",
        [RELEASE_ADD] = "INSERT INTO release(tree,uid,name,kind,begin_ns)VALUES(?,?,?,?,?)",
        [RELEASE_END] = "UPDATE release SET end_ns=?2 WHERE id=?1",
        /* What came and went within the release is no part of what it did. */
        [RELEASE_NET] =
                "WITH t AS(SELECT directory,name FROM node WHERE release=?1 UNION "
                "SELECT directory,name FROM history WHERE ended_by=?1 OR release=?1),"
                "s AS(SELECT EXISTS(SELECT 1 FROM history h WHERE h.directory=t.directory AND h.name=t.name "
                "AND h.ended_by=?1 AND h.release<>?1)AS b,EXISTS(SELECT 1 FROM node n WHERE "
                "n.directory=t.directory AND n.name=t.name AND n.release=?1)AS a FROM t)"
                "UPDATE release SET n_added=(SELECT count(*)FROM s WHERE a AND NOT b),"
                "n_changed=(SELECT count(*)FROM s WHERE a AND b),"
                "n_removed=(SELECT count(*)FROM s WHERE b AND NOT a)WHERE id=?1 AND kind<>'baseline'",
        [RELEASE_COUNT] = "UPDATE release SET n_added=n_added+?2,n_changed=n_changed+?3,"
                          "n_removed=n_removed+?4 WHERE id=?1",
        [RELEASE_FIND] = "SELECT * FROM release WHERE uid=?1 OR name=?1 ORDER BY id DESC LIMIT 1",
        [RELEASE_GET] = "SELECT * FROM release WHERE id=?",
        [RELEASE_LIST] = "SELECT * FROM release ORDER BY id",
        [CLAIMS] = "SELECT digest,0,0 FROM node WHERE digest IS NOT NULL UNION ALL "
                   "SELECT xattr_digest,0,0 FROM node WHERE xattr_digest IS NOT NULL UNION ALL "
                   "SELECT digest,until_ns,release FROM history WHERE digest IS NOT NULL UNION ALL "
                   "SELECT xattr_digest,until_ns,release FROM history WHERE xattr_digest IS NOT NULL",
        [HOST_ADD] = "INSERT OR IGNORE INTO host(tree,name)VALUES(?,?)",
        [HOST_FIND] = "SELECT 1 FROM host WHERE tree=? AND name=?",
};

const struct database_layout catalog_layout = {
        .application = 0x686e6d63, /* "hnmc" */
        .version = 1,
        .schema = schema,
        .statements = statements,
        .n_statements = N_STATEMENTS,
};
