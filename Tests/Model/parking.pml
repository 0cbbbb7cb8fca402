/* A turn that waits for people without a worker: parking, decisions, wakes and calls of one conversation, for spin.
 * `Tests/Model/run` checks it and its mutations. What lease.pml shows of lock, nonce and settlement is taken for granted
 * here: a fence is its epoch, which nothing gives out twice.
 *
 *   claim             Store.claim                                   what has been claimed may be parked by now
 *   begin_term        Store.beginTerm, with Store.arm
 *   park              Store.park (Store+Park)                       marker discharged, questions asked, turn first in its queue
 *   decide, expire    TenantStore.decideApproval, Store.sweepParked the last answer wakes, in its own transaction
 *   wake              ParkStatements.wake                           under the row's lock; the sweep looks as well
 *   resume            Store.resumption                              what a dead run had begun is unknown from now on
 *   start, done       Store.startCall, Store.endCall                written ahead of the effect
 *   settle, release   Store.settle, Store.release
 *   take over         Store.takeOver, sweepOverdue, sweepRemote     at any moment, of a holder that may live: that is a lapsed
 *                                                                   lease of a remote worker as well
 *
 * Whoever acts may stand still between any two steps: a holder that was taken over goes on until it writes, and the
 * effect of a call that it was granted comes as late as it likes.
 *
 * Mutations, each of which must be found out: NO_FENCE (a holder's write asks for a running turn only), WAKE_UNLOCKED
 * (who saw nothing open wakes later, whatever has happened), NO_UNKNOWN (a call that a dead run had begun is begun again),
 * WAKE_PARKED (a holder is given a turn that is parked), NO_WAKE (nobody looks when the last question is answered).
 */

#ifndef REPLICAS
#define REPLICAS 2
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#define RETRIES 1 /* the agent's */
#define PARKS 2   /* times the turn parks before it says its last word */
#define CALLS 2   /* of each time */

#define NOTHING 0
#define PENDING 0
#define STARTED 1
#define DONE 2
#define UNKNOWN 3

/* The conversation's row, its turn, the marker, and what the turn waits for. */
byte epoch;
bool owned, parked, running, marker, ended;
byte attempt, parks, wakes;
bool open[CALLS];               /* the question of a call, not answered yet */
byte call[CALLS], started_by[CALLS];
byte effects[CALLS * (PARKS + 1)]; /* in the world, not in the database; of the calls of each time */
byte faults = FAULTS;

#define queued (!running && !ended)
#define is_open (open[0] || open[1])
#ifdef NO_FENCE
#define held(e) (running && marker)
#else
#define held(e) (owned && epoch == e && running && marker)
#endif

/* Nobody writes into a term but the one who began it, whatever was compared. */
#define in_own_term(e) assert(owned && epoch == e)

inline wake() {
    assert(!is_open);           /* nobody goes on with a question open */
    parked = false;
    attempt--;                  /* going on is no new attempt */
    wakes++;
    assert(wakes <= parks)      /* one wake for each time it parked */
}

inline end_turn() {
    assert(!ended);             /* one outcome */
    running = false;
    marker = false;
    ended = true
}

proctype Replica() {
    byte e, i;
    byte granted;               /* the call that may be made, counted through all times; NOTHING */
idle:
    do
    :: atomic { !ended && !owned && !parked && queued -> skip } break /* claim */
    :: ended -> goto off
    od;

    atomic { /* begin_term */
        if
        :: owned || ended -> goto idle
        :: else
        fi;
        owned = true;
        epoch++;
        e = epoch;
        if
#ifdef WAKE_PARKED
        :: queued -> running = true; marker = true; attempt++
#else
        :: queued && !parked -> running = true; marker = true; attempt++
#endif
        :: else -> goto releasing /* a contender that comes too late skips */
        fi;
        assert(!is_open)
    }

    atomic { /* resume */
        if
        :: !held(e) -> goto releasing
        :: else
        fi;
        i = 0;
        do
        :: i < CALLS ->
            if
            :: call[i] == STARTED && started_by[i] < e ->
#ifdef NO_UNKNOWN
                call[i] = PENDING
#else
                call[i] = UNKNOWN
#endif
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    }

    do
    :: i < CALLS && parks > 0 ->
        atomic { /* start */
            granted = NOTHING;
            if
            :: !held(e) -> i = 0; goto releasing
            :: held(e) && call[i] == PENDING ->
                in_own_term(e);
                call[i] = STARTED;
                started_by[i] = e;
                granted = parks * CALLS + i
            :: else
            fi
        }
        if
        :: granted != NOTHING ->
            atomic { effects[granted]++; assert(effects[granted] <= 1) } /* at most once, whoever died */
            atomic { /* done */
                if
                :: held(e) && call[i] == STARTED && started_by[i] == e -> in_own_term(e); call[i] = DONE
                :: else
                fi
            }
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0;

    if
    :: atomic { /* park */
            parks < PARKS ->
            if
            :: held(e) ->
                in_own_term(e);
                running = false;
                marker = false;
                parked = true;
                parks++;
                i = 0;
                do
                :: i < CALLS ->
                    open[i] = true;
                    call[i] = PENDING;
                    started_by[i] = 0;
                    i++
                :: else -> break
                od;
                i = 0
            :: else
            fi
        }
    :: atomic { /* settle */
            parks > 0 ->
            if
            :: held(e) ->
                in_own_term(e);
                assert(!is_open);
                end_turn()
            :: else
            fi
        }
    fi;

releasing:
    atomic {
        if
        :: owned && epoch == e && !running -> owned = false
        :: else
        fi;
        e = 0;
        granted = NOTHING;
        goto idle
    }
off:
    skip
}

/* Who answers a question: a person, on any replica, or the sweep when it is overdue. */
proctype Decider(byte q) {
    bool last;
    do
#ifdef WAKE_UNLOCKED
    :: atomic { parked && open[q] -> open[q] = false; last = !is_open }
        atomic {
            if
            :: last && !ended -> wake()
            :: else
            fi;
            last = false
        }
#else
    :: atomic {
            parked && open[q] ->
            open[q] = false;
#ifndef NO_WAKE
            if
            :: !is_open -> wake()
            :: else
            fi
#endif
        }
#endif
    :: ended -> break
    od
}

proctype Sweepers() {
    do
#ifndef NO_WAKE
    :: atomic { parked && !is_open -> wake() }
#endif
    :: atomic { /* take over */
            faults > 0 && owned ->
            faults--;
            if
            :: marker && attempt > RETRIES -> end_turn()
            :: else
            fi;
            running = false;
            marker = false;
            epoch++;
            owned = false
        }
    :: ended -> break
    od
}

init {
    byte at;
    atomic {
        do
        :: at < REPLICAS -> run Replica(); at++
        :: else -> break
        od;
        run Decider(0);
        run Decider(1);
        run Sweepers()
    }
}
