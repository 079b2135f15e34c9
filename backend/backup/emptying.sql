-- Drops what lies in the schema of Agent Squad, but extensions: what a backup holds takes its place.
DO $$
BEGIN
    EXECUTE coalesce((
        SELECT string_agg(format('DROP %s IF EXISTS %s CASCADE', what, name), '; ')
        FROM (
            SELECT 'pg_class'::regclass AS catalog, c.oid, c.oid::regclass::text AS name, c.relnamespace AS namespace,
                CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                    WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END AS what
            FROM pg_class c WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm', 'f', 'c')
            UNION ALL
            SELECT 'pg_proc'::regclass, p.oid, p.oid::regprocedure::text, p.pronamespace,
                CASE p.prokind WHEN 'a' THEN 'AGGREGATE' ELSE 'ROUTINE' END
            FROM pg_proc p
            UNION ALL
            SELECT 'pg_type'::regclass, t.oid, t.oid::regtype::text, t.typnamespace, 'TYPE'
            FROM pg_type t WHERE t.typtype IN ('e', 'd', 'r')
        ) there
        WHERE namespace = current_schema()::regnamespace AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = catalog AND d.objid = there.oid AND d.deptype = 'e')
    ), 'SELECT');
END $$;
