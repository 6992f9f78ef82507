"""The tables of the dispatch, and the statements on them."""

LIVENESS = 0x0DA6
"""The first half of the workers' advisory locks; the second is the worker's number."""
FROZEN_SECONDS = 24
"""A worker whose last heartbeat is older is frozen, although its session holds the lock: it was stopped, its machine
sleeps or is off, or a step holds the interpreter. It counts as lost when it stays so for the time of a missing lock.
"""
LAUNCHED, CANCELED = "orchestrator_launched", "orchestrator_canceled"
"""The channels of NOTIFY. The payload is the name of a code location, and the id of a run."""

TABLES = (
    """
    CREATE TABLE IF NOT EXISTS orchestrator_workers (
        worker integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        location text NOT NULL,
        code text NOT NULL,
        host text NOT NULL,
        supervisor integer NOT NULL,
        pid integer NOT NULL,
        is_reserved boolean NOT NULL DEFAULT false,
        started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        beat_at timestamptz
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS orchestrator_code_servers (
        location text,
        version text,
        loaded_at timestamptz NOT NULL,
        PRIMARY KEY (location, version)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS orchestrator_dispatch (
        run_id text PRIMARY KEY,
        location text NOT NULL,
        code text NOT NULL,
        priority integer NOT NULL,
        not_before timestamptz,
        seq bigint GENERATED ALWAYS AS IDENTITY,
        state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'claimed', 'done')),
        is_resumed boolean NOT NULL DEFAULT false,
        worker integer,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        claimed_at timestamptz,
        done_at timestamptz,
        canceled_at timestamptz,
        lost_at timestamptz,
        kill_at timestamptz
    )
    """,
    """
    CREATE INDEX IF NOT EXISTS orchestrator_dispatch_queued
        ON orchestrator_dispatch (location, priority DESC, seq) WHERE state = 'queued'
    """,
    """
    CREATE INDEX IF NOT EXISTS orchestrator_dispatch_claimed ON orchestrator_dispatch (worker) WHERE state = 'claimed'
    """,
)

ADD_COLUMNS = (
    "ALTER TABLE orchestrator_workers ADD COLUMN IF NOT EXISTS beat_at timestamptz",
    "ALTER TABLE orchestrator_dispatch ADD COLUMN IF NOT EXISTS kill_at timestamptz",
)
HAS_COLUMNS = """
SELECT to_regclass('orchestrator_dispatch_claimed') IS NOT NULL AND 2 = (
    SELECT count(*) FROM pg_attribute WHERE (attrelid, attname) IN (
        (to_regclass('orchestrator_workers'), 'beat_at'), (to_regclass('orchestrator_dispatch'), 'kill_at')
    )
)
"""
"""Whether all is made, and the columns too that tables of an earlier version have not."""

HAS_LOCK = f"""EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND classid = {LIVENESS} AND objsubid = 2 AND granted
        AND objid = CAST({{worker}} AS oid)
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)"""
"""Whether a worker holds its lock. The list has locks of other databases too, so it compares the database."""

IS_FROZEN = f"""EXISTS (
    SELECT FROM orchestrator_workers beating WHERE beating.worker = {{worker}}
        AND beating.beat_at < clock_timestamp() - interval '{FROZEN_SECONDS} seconds'
)"""
IS_ALIVE = f"({HAS_LOCK} AND NOT {IS_FROZEN})"

BEAT = """
WITH beat AS (UPDATE orchestrator_workers SET beat_at = clock_timestamp() WHERE worker = %(worker)s RETURNING worker)
SELECT EXISTS (SELECT FROM beat),
    ARRAY(SELECT run_id FROM orchestrator_dispatch WHERE state = 'claimed' AND worker = %(worker)s)
"""
"""A worker's heartbeat: whether the table still has the worker, and the runs that it has claimed."""

FROZEN = f"""
SELECT pid FROM orchestrator_workers w WHERE host = :host AND supervisor = :supervisor
AND {HAS_LOCK.format(worker="w.worker")} AND {IS_FROZEN.format(worker="w.worker")}
"""

END_SESSIONS = f"""
SELECT pg_terminate_backend(session.pid) FROM pg_stat_activity session JOIN orchestrator_workers w
    ON session.application_name IN (
        left('orchestrator ' || w.pid || '@' || w.host, 63), left('dagster ' || w.pid || '@' || w.host, 63)
    )
WHERE w.worker = :worker AND session.backend_start < w.beat_at + interval '5 seconds'
    AND session.usename = current_user AND {IS_FROZEN.format(worker="w.worker")}
"""
"""End the sessions of a frozen worker, whose transactions would keep rows locked; `session.named` names them."""

FITS = "((code IN (:code, '') AND coalesce(not_before <= :loaded_at, true)) OR created_at < :loaded_at)"
"""Whether code that was loaded at a moment may execute a run: it is the code of the launch, or was loaded after it.

Something other than the files may have changed and the same files been loaded again; then only the later load may
execute it.
"""

SERVED = """
server AS (
    SELECT clock_timestamp() - make_interval(secs => :age) AS loaded_at WHERE :version <> '' AND NOT EXISTS (
        SELECT FROM orchestrator_code_servers WHERE location = :location AND version = :version
    )
),
noted AS (
    INSERT INTO orchestrator_code_servers (location, version, loaded_at) SELECT :location, :version, loaded_at
    FROM server ON CONFLICT DO NOTHING
),
bound AS (
    SELECT max(loaded_at) AS not_before FROM (
        SELECT loaded_at FROM server UNION ALL
        SELECT loaded_at FROM orchestrator_code_servers WHERE location = :location AND version = :version
    ) AS either
)"""
"""When the code server of a launch had loaded its code. The first process that sees the server records the time."""

ENQUEUE = f"""
WITH {SERVED}, made AS (
    INSERT INTO orchestrator_dispatch (run_id, location, code, priority, not_before)
    SELECT :run_id, :location, :code, :priority, not_before FROM bound
    ON CONFLICT (run_id) DO NOTHING RETURNING location, not_before
)
SELECT not_before, pg_notify('{LAUNCHED}', location) FROM made
"""

REQUEUE = f"""
WITH {SERVED}, made AS (
    INSERT INTO orchestrator_dispatch AS d (run_id, location, code, priority, not_before, is_resumed)
    SELECT :run_id, :location, :code, :priority, not_before, true FROM bound
    ON CONFLICT (run_id) DO UPDATE SET
        state = 'queued', is_resumed = true, location = :location, code = :code, not_before = EXCLUDED.not_before,
        worker = NULL, created_at = clock_timestamp(), claimed_at = NULL, done_at = NULL, canceled_at = NULL,
        lost_at = NULL, kill_at = NULL
    WHERE d.state = 'done' OR (d.state = 'claimed' AND NOT {IS_ALIVE.format(worker="d.worker")})
    RETURNING location, not_before
)
SELECT not_before, pg_notify('{LAUNCHED}', location) FROM made
"""

CLAIM = f"""
UPDATE orchestrator_dispatch SET state = 'claimed', worker = :worker, claimed_at = clock_timestamp()
WHERE run_id = (
    SELECT run_id FROM orchestrator_dispatch
    WHERE state = 'queued' AND location = :location AND priority >= :least AND {FITS}
    ORDER BY priority DESC, seq LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING run_id, is_resumed
"""

CLAIM_DIRECTLY = f"""
INSERT INTO orchestrator_dispatch AS d (run_id, location, code, priority, state, worker, claimed_at)
SELECT :run_id, '', '', 0, 'claimed', worker, clock_timestamp() FROM orchestrator_workers WHERE worker = :worker
ON CONFLICT (run_id) DO UPDATE SET
    state = 'claimed', worker = :worker, claimed_at = clock_timestamp(), done_at = NULL, lost_at = NULL
WHERE d.state = 'done' OR (d.state = 'claimed' AND NOT {IS_ALIVE.format(worker="d.worker")})
RETURNING run_id
"""
"""A run that was not launched to workers, entered by the process that executes it. It has no code location.

Not by a worker that the table has no longer: it would end itself as soon as it saw that.
"""

FINISH = """
UPDATE orchestrator_dispatch SET state = 'done', done_at = clock_timestamp()
WHERE run_id = :run_id AND worker = :worker AND state = 'claimed' RETURNING canceled_at IS NOT NULL AS is_canceled
"""

CANCEL = f"""
WITH canceled AS (
    UPDATE orchestrator_dispatch SET
        canceled_at = coalesce(canceled_at, clock_timestamp()),
        done_at = CASE state WHEN 'queued' THEN clock_timestamp() ELSE done_at END,
        state = CASE state WHEN 'queued' THEN 'done' ELSE state END
    WHERE run_id = :run_id RETURNING run_id, state
)
SELECT state, CASE state WHEN 'claimed' THEN pg_notify('{CANCELED}', run_id) END FROM canceled
"""

KILL_AFTER = """
UPDATE orchestrator_dispatch SET kill_at = coalesce(kill_at, clock_timestamp() + make_interval(secs => :seconds))
WHERE run_id = :run_id AND state <> 'done'
"""

REFUSE = """
UPDATE orchestrator_dispatch SET state = 'done', done_at = clock_timestamp()
WHERE state = 'queued' AND location = :location{unless} RETURNING run_id
"""

MARK_LOST = f"""
UPDATE orchestrator_dispatch d SET lost_at = CASE WHEN lost_at IS NULL THEN clock_timestamp() END
WHERE state = 'claimed' AND (lost_at IS NOT NULL) = {IS_ALIVE.format(worker="d.worker")}
"""
"""Record since when a lock is missing, and delete that when the lock is back."""

ENTRY = """
SELECT run_id, state, worker, canceled_at IS NOT NULL AS is_canceled,
    extract(epoch FROM clock_timestamp() - lost_at)::float AS lost_seconds,
    extract(epoch FROM kill_at - coalesce(done_at, lost_at, clock_timestamp()))::float AS seconds_left
FROM orchestrator_dispatch
"""

WORKERS = f"""
SELECT w.worker, w.location, w.code, w.host, w.supervisor, w.pid, w.is_reserved, w.started_at, d.run_id
FROM orchestrator_workers w LEFT JOIN orchestrator_dispatch d ON d.worker = w.worker AND d.state = 'claimed'
WHERE w.supervisor <> 0 AND {IS_ALIVE.format(worker="w.worker")} ORDER BY w.worker
"""
"""The resident workers; a process that executes its own run has no supervisor."""

UNSERVED = f"""
SELECT run_id FROM orchestrator_dispatch
WHERE state = 'queued' AND location = :location AND created_at < clock_timestamp() - interval '10 seconds'
AND NOT EXISTS (
    SELECT FROM orchestrator_workers w
    WHERE w.supervisor <> 0 AND w.location = :location AND {IS_ALIVE.format(worker="w.worker")}
) ORDER BY seq LIMIT 1
"""

LOAD = f"""
SELECT
    (
        SELECT count(*) FROM orchestrator_workers w WHERE w.supervisor <> 0 AND {IS_ALIVE.format(worker="w.worker")}
    ) AS online,
    count(*) FILTER (WHERE state = 'queued') AS queued,
    count(*) FILTER (WHERE state = 'claimed') AS claimed
FROM orchestrator_dispatch WHERE state <> 'done'
"""
