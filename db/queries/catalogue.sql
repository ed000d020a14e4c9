-- name: relations
-- Tables, views and sequences of ours; of extensions those that a role of ours was granted. No partition, no chunk.
SELECT n.nspname AS schema, c.relname AS name,
    CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
        WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
    pg_get_userbyid(c.relowner) AS owner, e.extname AS extension,
    c.relrowsecurity AS row_security, c.relforcerowsecurity AS row_security_forced,
    coalesce('security_barrier=true' = ANY (c.reloptions) OR 'security_barrier=on' = ANY (c.reloptions), false)
        AS barrier,
    coalesce('security_invoker=true' = ANY (c.reloptions) OR 'security_invoker=on' = ANY (c.reloptions), false)
        AS invoker,
    obj_description(c.oid, 'pg_class') AS comment,
    coalesce((SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM pg_partitioned_table p, unnest(p.partattrs::smallint[]) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
        WHERE p.partrelid = c.oid), '{}') AS partitioned_by
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
LEFT JOIN pg_extension e ON e.oid = d.refobjid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
    AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
    AND CASE WHEN e.extname IS NULL
        THEN n.nspname <> 'information_schema' AND n.nspname !~ '^(pg_|_?timescaledb_)'
        ELSE EXISTS (SELECT FROM aclexplode(c.relacl) g JOIN pg_roles r ON r.oid = g.grantee
                WHERE r.rolname ~ '^partyline_')
            OR EXISTS (SELECT FROM pg_attribute a, aclexplode(a.attacl) g JOIN pg_roles r ON r.oid = g.grantee
                WHERE a.attrelid = c.oid AND r.rolname ~ '^partyline_')
        END
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"

-- name: columns
-- Every column of tables and views, in the table's order.
SELECT n.nspname AS schema, c.relname AS relation, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
    NOT a.attnotnull AS nullable, col_description(c.oid, a.attnum) AS comment
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C", a.attnum

-- name: keys
-- Primary keys, unique keys (also unique indexes over plain columns of all rows) and foreign keys.
SELECT n.nspname AS schema, c.relname AS relation, k.conname AS name, k.contype::text AS kind,
    ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number ORDER BY u.place) AS columns,
    tn.nspname AS target_schema, t.relname AS target,
    CASE k.confdeltype WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null' WHEN 'd' THEN 'set default' END AS on_delete
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class t ON t.oid = k.confrelid AND k.contype = 'f'
LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE k.contype IN ('p', 'u', 'f') AND k.conparentid = 0
    AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
UNION ALL
SELECT n.nspname, c.relname, x.relname, 'u',
    ARRAY(SELECT a.attname::text FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS u (number, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number
        WHERE u.place <= i.indnkeyatts ORDER BY u.place),
    NULL, NULL, NULL
FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.oid)
    AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid)
ORDER BY 1, 2, 4, 3

-- name: hypertables
-- What TimescaleDB cuts into chunks. Asked only where the extension is.
SELECT hypertable_schema AS schema, hypertable_name AS name, column_name AS column, time_interval::text AS every
FROM timescaledb_information.dimensions
ORDER BY hypertable_schema, hypertable_name, dimension_number

-- name: partition_keeping
-- What pg_partman keeps. Asked only where the extension is.
SELECT parent_table AS parent, control AS column, partition_interval AS every, premake AS ahead,
    retention AS kept_for, retention_keep_table AS detaches
FROM partman.part_config
ORDER BY parent_table COLLATE "C"

-- name: has_relation
-- Whether there are TimescaleDB's views, and pg_partman's configuration.
SELECT to_regclass('timescaledb_information.dimensions') IS NOT NULL AS timescaledb,
    to_regclass('partman.part_config') IS NOT NULL AS partman

-- name: partitions
-- Every partition and chunk, by name: for those who leave them out.
SELECT n.nspname AS schema, c.relname AS name
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p', 'f')
JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"

-- name: partition_grants
-- What is granted on the partitions and chunks themselves, with the table that they are part of.
WITH RECURSIVE part AS (
    SELECT i.inhparent AS root, i.inhrelid AS oid FROM pg_inherits i
    WHERE NOT EXISTS (SELECT FROM pg_inherits u WHERE u.inhrelid = i.inhparent)
    UNION ALL
    SELECT part.root, i.inhrelid FROM part JOIN pg_inherits i ON i.inhparent = part.oid
), acl AS (
    SELECT part.root, c.relowner AS owner, x.grantee, x.privilege_type, NULL::name AS column
    FROM part JOIN pg_class c ON c.oid = part.oid AND c.relkind IN ('r', 'p', 'f'), aclexplode(c.relacl) x
    UNION ALL
    SELECT part.root, c.relowner, x.grantee, x.privilege_type, a.attname
    FROM part JOIN pg_class c ON c.oid = part.oid AND c.relkind IN ('r', 'p', 'f')
    JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped, aclexplode(a.attacl) x
)
SELECT DISTINCT n.nspname AS schema, c.relname AS name, acl.column,
    CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(acl.grantee) END AS grantee,
    acl.privilege_type AS privilege
FROM acl
JOIN pg_class c ON c.oid = acl.root
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE acl.grantee <> acl.owner
ORDER BY 1, 2, 4, 5, 3

-- name: grants
-- Every grant to somebody else than the owner: of the database, schemas, tables, columns, functions.
WITH acl AS (
    SELECT 'database' AS what, NULL::name AS schema, 'database'::text AS name, NULL::name AS column,
        d.datdba AS owner, x.grantee, x.privilege_type, x.is_grantable
    FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x
    WHERE d.datname = current_database()
    UNION ALL
    SELECT 'schema', n.nspname, n.nspname, NULL, n.nspowner, x.grantee, x.privilege_type, x.is_grantable
    FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) x
    UNION ALL
    SELECT 'relation', n.nspname, c.relname, NULL, c.relowner, x.grantee, x.privilege_type, x.is_grantable
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
        aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) x
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT 'relation', n.nspname, c.relname, a.attname, c.relowner, x.grantee, x.privilege_type, x.is_grantable
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
        aclexplode(a.attacl) x
    WHERE NOT a.attisdropped
    UNION ALL
    SELECT 'function', n.nspname, format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), NULL,
        p.proowner, x.grantee, x.privilege_type, x.is_grantable
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
        aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
)
SELECT what, schema, name, acl.column,
    CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END AS grantee,
    privilege_type AS privilege, is_grantable AS grantable
FROM acl
WHERE grantee <> owner AND (schema IS NULL OR schema !~ '^(pg_|information_schema)' OR grantee <> 0)
ORDER BY what, schema, name, grantee, privilege

-- name: functions
-- Functions of ours; of extensions those that a role of ours was granted, or that run with their owner's rights
-- (but for TimescaleDB's own schemas, which are others in each version).
SELECT n.nspname AS schema, p.proname AS short, format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid))
        AS name,
    pg_get_userbyid(p.proowner) AS owner, e.extname AS extension, p.prosecdef AS definer,
    coalesce(p.proconfig, '{}') AS settings, obj_description(p.oid, 'pg_proc') AS comment
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
LEFT JOIN pg_extension e ON e.oid = d.refobjid
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND (e.extname IS NULL OR p.prosecdef AND n.nspname !~ '^_?timescaledb_' OR EXISTS (
        SELECT FROM aclexplode(p.proacl) g JOIN pg_roles r ON r.oid = g.grantee WHERE r.rolname ~ '^partyline_'))
ORDER BY n.nspname COLLATE "C", p.proname COLLATE "C", 3

-- name: policies
-- Row level security's policies, with their expressions.
SELECT n.nspname AS schema, c.relname AS relation, p.polname AS name,
    CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
        ELSE 'ALL' END AS command,
    p.polpermissive AS permissive,
    ARRAY(SELECT CASE WHEN r.oid = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(r.oid)::text END
        FROM unnest(p.polroles) AS r (oid) ORDER BY 1) AS roles,
    pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS checking,
    obj_description(p.oid, 'pg_policy') AS comment
FROM pg_policy p
JOIN pg_class c ON c.oid = p.polrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C", p.polname COLLATE "C"

-- name: schemas
-- Schemas that are ours, or hold something of ours.
SELECT n.nspname AS name, pg_get_userbyid(n.nspowner) AS owner, obj_description(n.oid, 'pg_namespace') AS comment
FROM pg_namespace n
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^(pg_|_?timescaledb_)'
    AND (pg_get_userbyid(n.nspowner) ~ '^partyline_'
        OR EXISTS (SELECT FROM aclexplode(n.nspacl) g JOIN pg_roles r ON r.oid = g.grantee
            WHERE r.rolname ~ '^partyline_')
        OR EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid
            AND pg_get_userbyid(c.relowner) ~ '^partyline_')
        OR EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = n.oid
            AND pg_get_userbyid(p.proowner) ~ '^partyline_'))
ORDER BY n.nspname COLLATE "C"

-- name: roles
-- Our roles, their attributes and the settings they begin with.
SELECT r.rolname AS name, r.rolcanlogin AS login, r.rolinherit AS inherits, r.rolsuper AS superuser,
    r.rolbypassrls AS bypasses, r.rolcreaterole AS creates_roles, r.rolcreatedb AS creates_databases,
    r.rolreplication AS replicates, shobj_description(r.oid, 'pg_authid') AS comment,
    ARRAY(SELECT DISTINCT one FROM pg_db_role_setting s, unnest(s.setconfig) AS one
        WHERE s.setrole = r.oid AND s.setdatabase IN (
            0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
        ORDER BY 1) AS settings
FROM pg_roles r
WHERE r.rolname ~ '^partyline_'
ORDER BY r.rolname COLLATE "C"

-- name: memberships
-- Who is a member of whom. Before PostgreSQL 16 a membership had no options: the member's own attribute decided.
SELECT g.rolname AS role, m.rolname AS member,
    bool_or(coalesce((to_jsonb(a) ->> 'inherit_option')::boolean, m.rolinherit)) AS inherits,
    bool_or(coalesce((to_jsonb(a) ->> 'set_option')::boolean, true)) AS may_set, bool_or(a.admin_option) AS admin
FROM pg_auth_members a
JOIN pg_roles g ON g.oid = a.roleid
JOIN pg_roles m ON m.oid = a.member
WHERE g.rolname ~ '^partyline_' OR m.rolname ~ '^partyline_'
GROUP BY g.rolname, m.rolname
ORDER BY m.rolname COLLATE "C", g.rolname COLLATE "C"

-- name: default_grants
-- What objects made later are granted from the start; only the owner, where no grantee is named.
SELECT pg_get_userbyid(d.defaclrole) AS maker, n.nspname AS schema,
    CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
        WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects' END AS objects,
    ARRAY(SELECT format('%s: %s', CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee) END,
            string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type))
        FROM aclexplode(d.defaclacl) x WHERE x.grantee <> d.defaclrole GROUP BY x.grantee ORDER BY 1) AS grants
FROM pg_default_acl d
LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
ORDER BY 1, 2, 3
