/* Lease, fence, settlement and takeover of one conversation, for spin. `Tests/Model/run` checks it and its mutations.
 *
 * Each atomic step is one statement or transaction, as atomic here as PostgreSQL makes it there:
 *
 *   claim and lock    Store.claim, DirectSession.tryLockInSession   Dispatcher.serve, LeaseKeeper.acquire
 *   begin_term        Store.beginTerm (Store+Hold)                  Store.term(of:…) in LeaseKeeper.swift
 *   look up           Store.term(_:nonce:) (Store+Hold)             the same, when the answer was lost
 *   hydrate           Store.hydrate (Store+Hold)                    ConversationSession.hydrate
 *   arm               Store.arm (Store+Arm)                         with begin_term and settle; alone in takeNext
 *   settle            Store.settle (Store+Settle)                   ConversationSession.settle, persistently
 *   resolve           Store.isSettled, Store.runningTurn            ConversationSession.settleOnce
 *   requeue           Store.requeue (Store+Settle)                  ConversationSession.requeue, abandon
 *   unlock, release   DirectSession.unlock, Store.release           ConversationSession.leave
 *   reattach          DirectSession.tryLock, Store.inspect          LeaseKeeper.reattach
 *   take over         Store.takeOver (Store+Sweep)                  ReplicaPresence.watch
 *   take back         Store.strays, Store.takeBack (Store+Strays)    Caretaker.takeBack
 *   sweep             Store.sweepOverdue (Store+Sweep)              Sweeper.run
 *
 * There is no time: whoever acts may stand still between any two steps, so slow, frozen and paused are one thing, and
 * a frozen replica's commit comes as late as it likes. Beyond that, FAULTS faults happen, of any kind, in any order:
 * the server ends a lock session before its replica knows; a replica dies for good; the answer to a commit is lost (it
 * happened, did not, or happens later); a worker exits within its turn; a holder that lives is swept; the standby stops
 * to follow and is failed over to, so that the database is what it was and gives the same epochs again.
 *
 * Mutations, each of which must be found out: NO_NONCE (a fence is its epoch), NO_CAS (a settlement asks for its marker
 * only), HYDRATE_FIRST (before the term begins), MARKER_OUTSIDE (discharged in a transaction before the settlement's),
 * NO_TAKE_BACK.
 */

#ifndef REPLICAS
#define REPLICAS 2
#endif
#ifndef TURNS
#define TURNS 2
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#define RETRIES 1 /* the agent's */

#define NONE 0
#define NOBODY 3
#define QUEUED 0
#define RUNNING 1
#define COMPLETED 2
#define FAILED 3

/* The conversation's row, its marker, its turns (numbered from 1), their outcomes, and its snapshots. */
typedef Database {
    byte epoch;
    byte nonce;                 /* NONE: no owner */
    byte owner;
    byte head;                  /* the turn of the newest snapshot */
    byte running;
    byte marker;                /* the turn whose debt it is */
    byte state[TURNS + 1];
    byte attempt[TURNS + 1];
    byte settled_by[TURNS + 1]; /* the nonce in its outcome */
    byte content;               /* of the newest snapshot: who made it, from which turn */
    byte extended;              /* the heads that have a snapshot after them, a bit each */
};

Database db, standby;
hidden Database nothing;
#define FOLLOWING 0
#define LAGGING 1
#define PROMOTED 2
byte lock = NOBODY;             /* the advisory lock's holder */
bool session[REPLICAS];         /* the lock session as the server sees it, and with it the presence lock */
bool dead[REPLICAS];
byte serving[REPLICAS];         /* the nonce of the term in a replica's registry */
byte nonces;                    /* drawn so far; no failover takes them back */
byte faults = FAULTS, deaths = REPLICAS - 1;
byte standby_is = FOLLOWING;
bool calm;                      /* there will be no more faults */

/* One transaction that its sender has given up on and that may still happen. */
byte late, late_sender, late_epoch, late_nonce, late_turn, late_parent, late_base, late_content;
#define BEGIN 1
#define SETTLE 2

#define ended(t) (db.state[t] >= COMPLETED)
#if TURNS == 1
#define first_queued (db.state[1] == QUEUED -> 1 : NONE)
#define settled ended(1)
#else
#define first_queued (db.state[1] == QUEUED -> 1 : (db.state[2] == QUEUED -> 2 : NONE))
#define settled (ended(1) && ended(2))
#endif

/* What every write of a holder compares. */
#ifdef NO_NONCE
#define held(e, n) (db.epoch == e && db.nonce != NONE)
#else
#define held(e, n) (db.epoch == e && db.nonce == n)
#endif
#if defined(NO_CAS)
#define may_settle(e, n, t, p) (db.marker == t)
#elif defined(MARKER_OUTSIDE)
#define may_settle(e, n, t, p) (held(e, n) && db.head == p && db.running == t)
#else
#define may_settle(e, n, t, p) (held(e, n) && db.head == p && db.running == t && db.marker == t)
#endif

/* Nobody writes into a term but the one who began it, whatever was compared. */
#define in_own_term(e, n) assert(db.epoch == e && db.nonce == n)

inline discharge() {
    db.marker = NONE;
    db.running = NONE;
}

inline free_conversation() {
    db.nonce = NONE;
    db.owner = NOBODY;
}

inline end_turn(t, how, n) {
    assert(!ended(t)); /* one outcome */
    db.state[t] = how;
    db.settled_by[t] = n;
}

inline arm() {
    next = NONE;
    if
    :: db.running == NONE && first_queued != NONE ->
        next = first_queued;
        db.running = next;
        db.marker = next;
        db.state[next] = RUNNING;
        db.attempt[next]++
    :: else
    fi
}

inline begin_term(who, n) {
    if
    :: db.nonce == NONE ->
        hit = true;
        db.epoch++;
        db.nonce = n;
        db.owner = who;
        arm()
    :: else -> hit = false
    fi
}

/* c: the content of the snapshot that goes with it, made from the content b; NONE when the turn failed. */
inline settle(e, n, t, p, b, c) {
    next = NONE;
    if
    :: may_settle(e, n, t, p) ->
        hit = true;
        in_own_term(e, n);
        discharge();
        if
        :: c != NONE ->
            end_turn(t, COMPLETED, n);
            assert((db.extended & (1 << p)) == 0); /* no fork */
            assert(db.content == b);               /* the worker knew what it extends */
            db.extended = db.extended | (1 << p);
            db.head = t;
            db.content = c;
            arm()
        :: else -> end_turn(t, FAILED, n)
        fi
    :: else -> hit = false
    fi
}

inline requeue(t) {
    if
    :: held(epoch, nonce) && db.running == t && db.marker == t ->
        in_own_term(epoch, nonce);
        discharge();
        db.state[t] = QUEUED
    :: else
    fi
}

/* What becomes of one commit, and whether its sender hears of it. */
#define HEARD 0
#define UNHEARD 1
#define LOST 2
#define LATE 3

inline send(kind) {
    if
    :: fate = HEARD
    :: faults > 0 -> faults--; fate = UNHEARD
    :: faults > 0 -> faults--; fate = LOST
    :: faults > 0 && late == NONE -> faults--; fate = LATE;
        late = kind;
        late_sender = me;
        late_epoch = epoch;
        late_nonce = nonce;
        late_turn = turn;
        late_parent = parent;
        late_base = base;
        late_content = content
    fi
}

inline forget_late() {
    late = NONE;
    late_sender = 0;
    late_epoch = 0;
    late_nonce = 0;
    late_turn = 0;
    late_parent = 0;
    late_base = 0;
    late_content = 0
}

inline take_term() {
    epoch = db.epoch;
    turn = db.running;
    content = db.content;
    doubt = false
}

inline forget_all() {
    epoch = 0;
    nonce = 0;
    turn = 0;
    parent = 0;
    base = 0;
    content = 0;
    next = 0;
    doubt = false
}

hidden byte fate, hit, at, debt;

/* Replicas are alike, so while the first one can, no other need be the first. */
#define may_be_first (me == 0 || nonces > 0 || !session[0])

proctype Replica(byte me) {
    byte epoch, nonce, turn, parent;
    byte base;    /* the content that the worker knows */
    byte content; /* of the snapshot that it gave with its reply; NONE when the turn is to fail */
    byte next;
    bool doubt;
{
    goto idle;
idle:
    do
    :: d_step { !session[me] -> session[me] = true }
    :: atomic {
            session[me] && may_be_first && lock == NOBODY && db.nonce == NONE && first_queued != NONE ->
            lock = me;
            nonces++;
            nonce = nonces;
            serving[me] = nonce;
#ifdef HYDRATE_FIRST
            base = db.content;
            parent = db.head
#endif
        }
        break
    :: calm -> goto off
    od;

begin:
    atomic {
        send(BEGIN);
        if
        :: fate == HEARD || fate == UNHEARD -> begin_term(me, nonce)
        :: else
        fi;
        if
        :: fate == HEARD && (hit || doubt && db.nonce == nonce) -> take_term(); goto hydrate
        :: fate == HEARD && !(hit || doubt && db.nonce == nonce) -> goto leave
        :: else -> doubt = true
        fi
    }
#ifdef FORGET_TERM
    goto leave;
#endif
    atomic { /* look up */
        if
        :: db.nonce == nonce -> take_term()
        :: else -> goto begin
        fi
    }

hydrate:
    atomic {
#ifndef HYDRATE_FIRST
        base = db.content;
        parent = db.head;
#endif
        assert(!(db.epoch == epoch && db.nonce == nonce) || base == content); /* not older than the head at the fence */
        content = NONE;
        if
        :: turn == NONE -> goto leave
        :: else
        fi
    }

perform:
    if
    :: content = nonce * 4 + turn
    :: atomic { faults > 0 -> faults--; goto abandon }
    :: atomic { !session[me] -> session[me] = true; lock = (lock == NOBODY -> me : lock) }
        atomic {
            if
            :: !held(epoch, nonce) -> goto leave
            :: held(epoch, nonce) && lock == me -> goto perform
            :: else -> goto abandon
            fi
        }
    fi;

settling:
#ifdef MARKER_OUTSIDE
    atomic { if :: held(epoch, nonce) && db.marker == turn -> db.marker = NONE :: else fi }
#endif
    atomic {
        send(SETTLE);
        if
        :: fate == HEARD || fate == UNHEARD -> settle(epoch, nonce, turn, parent, base, content)
        :: else
        fi;
        if
        :: fate != HEARD -> doubt = true; goto settling
        :: fate == HEARD && hit -> goto written
        :: fate == HEARD && !hit && !doubt -> goto leave
        :: else
        fi
    }
    atomic { /* resolve */
        next = (held(epoch, nonce) -> db.running : NONE);
        if
        :: db.settled_by[turn] == nonce -> goto written
        :: else -> goto leave
        fi
    }

written:
    atomic {
        doubt = false;
        if
        :: content == NONE -> goto leave
        :: else -> base = content; parent = turn; content = NONE
        fi;
        if
        :: next != NONE -> turn = next; next = NONE; goto perform
        :: else
        fi
    }

    /* at the desk, until the idle time is over */
    if
    :: goto leave
    :: atomic {
            held(epoch, nonce) && db.running == NONE && first_queued != NONE -> arm();
            turn = next; next = NONE; goto perform
        }
    :: atomic { held(epoch, nonce) && db.running != NONE -> turn = db.running; goto perform }
    fi;

abandon:
    atomic {
        if
        :: db.attempt[turn] > RETRIES -> goto settling
        :: else
        fi;
        requeue(turn)
    }

leave:
    atomic { /* unlock */
        serving[me] = NONE;
        lock = (lock == me -> NOBODY : lock);
        parent = 0;
        base = 0;
        content = 0;
        next = 0;
        doubt = false;
        if
        :: epoch == NONE -> forget_all(); goto idle
        :: else
        fi
    }
releasing:
    atomic {
        if
        :: held(epoch, nonce) && db.running == NONE ->
            in_own_term(epoch, nonce);
            free_conversation();
            forget_all();
            goto idle
        :: held(epoch, nonce) && db.running != NONE && db.running != turn -> /* a stray */
            turn = db.running;
            requeue(turn);
            goto releasing
        :: else -> forget_all(); goto idle
        fi
    }
off:
    skip
} unless {
    d_step { dead[me] -> forget_all() }
}
}

/* What the replicas do for each other, and the sweepers of all. What is decided by may be old when it is acted upon. */
inline take_over() {
    debt = db.marker;
    if
    :: debt != NONE && db.attempt[debt] <= RETRIES -> db.state[debt] = QUEUED
    :: debt != NONE && db.attempt[debt] > RETRIES -> end_turn(debt, FAILED, NONE)
    :: else
    fi;
    discharge();
    db.epoch++;
    free_conversation()
}

#define holder (db.owner % REPLICAS)
#define is_owned (db.owner != NOBODY)

proctype Peers() {
    byte suspect = NOBODY, stray;
    do
    :: atomic { suspect == NOBODY && stray == NONE && is_owned && !session[holder] -> suspect = db.owner }
    :: d_step {
            suspect != NOBODY ->
            if
            :: db.owner == suspect && (db.marker != NONE || db.running == NONE) -> take_over()
            :: else
            fi;
            suspect = NOBODY
        }
#ifndef NO_TAKE_BACK
    :: atomic {
            suspect == NOBODY && stray == NONE && is_owned && !dead[holder] && serving[holder] != db.nonce ->
            stray = db.nonce
        }
    :: d_step {
            stray != NONE ->
            if
            :: db.nonce == stray && serving[holder] != stray && (db.marker != NONE || db.running == NONE) -> take_over()
            :: else
            fi;
            stray = NONE
        }
#endif
    :: d_step {
            faults > 0 && db.marker != NONE -> faults--;
            debt = db.marker;
            end_turn(debt, FAILED, NONE);
            discharge();
            db.epoch++;
            free_conversation()
        }
    :: calm -> break
    od
}

inline copy(to, from) {
    to.epoch = from.epoch;
    to.nonce = from.nonce;
    to.owner = from.owner;
    to.head = from.head;
    to.running = from.running;
    to.marker = from.marker;
    to.content = from.content;
    to.extended = from.extended;
    at = 1;
    do
    :: at <= TURNS ->
        to.state[at] = from.state[at];
        to.attempt[at] = from.attempt[at];
        to.settled_by[at] = from.settled_by[at];
        at++
    :: else -> break
    od;
    at = 0
}

inline end_session(r) {
    session[r] = false;
    lock = (lock == r -> NOBODY : lock)
}

#define lose_session(r) :: d_step { faults > 0 && session[r] -> faults--; end_session(r) }
#define die(r) :: d_step { faults > 0 && deaths > 0 && !dead[r] -> faults--; deaths--; lose(r) }

inline lose(r) {
    dead[r] = true;
    serving[r] = NONE;
    end_session(r)
}

proctype Surroundings() {
    byte next;
    do
    lose_session(0)
    lose_session(1)
    die(0)
    die(1)
#if REPLICAS > 2
    lose_session(2)
    die(2)
#endif
    :: d_step { faults > 0 && standby_is == FOLLOWING -> faults--; standby_is = LAGGING; copy(standby, db) }
    :: d_step {
            standby_is == LAGGING ->
            standby_is = PROMOTED;
            copy(db, standby);
            copy(standby, nothing);
            at = 0;
            do
            :: at < REPLICAS -> end_session(at); at++
            :: else -> break
            od;
            at = 0;
            forget_late() /* what was under way goes down with the old server */
        }
    :: d_step { late == BEGIN -> begin_term(late_sender, late_nonce); next = NONE; forget_late() }
    :: d_step {
            late == SETTLE ->
            settle(late_epoch, late_nonce, late_turn, late_parent, late_base, late_content);
            next = NONE;
            forget_late()
        }
    :: d_step { late != NONE -> forget_late() }
    :: d_step { settled && late == NONE -> calm = true; faults = 0 } break
    od
}

init {
    atomic {
        db.owner = NOBODY;
        at = 0;
        do
        :: at < REPLICAS -> session[at] = true; run Replica(at); at++
        :: else -> break
        od;
        run Peers();
        run Surroundings()
    }
}
