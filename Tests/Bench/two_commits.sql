-- What a turn must write at the least, as the two commits that it takes, each in one statement and one round trip: the
-- ceiling that the benchmark compares with. Client N of pgbench has conversation N for itself.
\set random random(1, 9000000000000000000)
WITH moved AS (
    UPDATE turnpike.conversations
    SET last_turn = last_turn + 1, last_event = last_event + 1, running = md5(:client_id || '-' || :random)::uuid,
        active_at = now()
    WHERE org = 'pgbench' AND agent = 'pgbench' AND conversation = 'c' || :client_id
    RETURNING id, last_turn, last_event, running, epoch
), turn AS (
    INSERT INTO turnpike.turns (turn, conversation_id, org, seq, first_event, run, state, attempt, input, started_at)
    SELECT running, id, 'pgbench', last_turn, last_event, running, 'running', 1, '[{"type": "text", "text": "What is the time?"}]',
        now()
    FROM moved
), event AS (
    INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
    SELECT id, last_event, running, 'turn.started', '{"attempt":1}' FROM moved
)
INSERT INTO turnpike.markers (turn, conversation_id, deployment, replica, epoch, progress_deadline, hard_deadline)
SELECT running, id, running, running, epoch, now() + interval '300 seconds', now() + interval '600 seconds' FROM moved;

WITH discharged AS (
    DELETE FROM turnpike.markers WHERE turn = md5(:client_id || '-' || :random)::uuid RETURNING turn
), outcome AS (
    INSERT INTO turnpike.outcomes (turn, state, reply, stop_reason)
    SELECT turn, 'completed', 'at=1234567890123;', 'end_turn' FROM discharged
), ended AS (
    UPDATE turnpike.turns t SET state = 'completed', ended_at = now() FROM discharged d WHERE t.turn = d.turn
), moved AS (
    UPDATE turnpike.conversations
    SET last_event = last_event + 1, running = NULL, active_at = now()
    WHERE org = 'pgbench' AND agent = 'pgbench' AND conversation = 'c' || :client_id
    RETURNING id, last_event
)
INSERT INTO turnpike.events (conversation_id, seq, turn, type, data)
SELECT moved.id, moved.last_event, discharged.turn, 'turn.completed', '{"reply":"at=1234567890123;"}'
FROM moved, discharged;
