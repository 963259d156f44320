/* The lease, with clocks: S1 (one holder), S2 for an address (served by one), S4 (terms).

   Every step is atomic, as `quorum.step` is. A message on its way is a bit of state: whoever may
   still receive it may do so late, twice or never. README.md says what is left out, and why leaving
   it out only adds behaviour. Each NO_... takes one rule away, and test_model.py shows that the
   checker then finds two holders, two servers of one address, or a term that went back.

   Time is the tick of the fastest clock. With CLOCKS each data node has a clock of its own that may
   miss one tick in any TTL of them. Without, clocks are taken at their extremes: an answer is worth
   as much as by the slowest clock, a promise lasts as long as by the fastest, and a lease may end
   early at any time. With LATE answers travel too, and two renewals may be open; without, they
   arrive at once (a late one assures no more than that) and a request dies with its candidacy. */

#ifndef DATA
#define DATA 2          /* data nodes are 0..DATA-1, the rest of the three are witnesses */
#endif
#ifndef TERMS
#define TERMS 2
#endif
#ifndef RESTARTS
#define RESTARTS 1      /* restarts of agents and reboots, all members together */
#endif
#ifndef TTL
#define TTL 3
#endif

#define DRIFT 1         /* 2 * drift * ttl: how far two clocks part within one TTL */
#define STOP  1         /* tick + stop_budget, on the holder's clock */

/* timing.needed_guard_ms */
#if defined(NO_DRIFT_IN_GUARD)
#define GUARD STOP
#elif defined(NO_STOP_IN_GUARD)
#define GUARD DRIFT
#else
#define GUARD (DRIFT + STOP)
#endif
#ifdef CLOCKS
#define WORTH (TTL - GUARD + STOP)              /* an answer: hold, then time to stop */
#else
#define WORTH (TTL - GUARD + STOP + DRIFT)      /* the same by the slowest clock */
#endif

#define N      3
#define NOBODY 3

/* A member. Its promise binds to (voted, boot, term) while it is not zero. */
byte term[N];
byte voted[N] = NOBODY;
byte promise[N];
bit  promised_boot[N];
byte boot_hold[N];

/* A data node. `left` includes the time to stop: it holds while `left` is above STOP. */
bit  boot[N];
bit  holds[N], renews[N], serves[N], stands[N];
byte held[N];           /* term of the lease, kept after its loss until it is released */
byte left[N];
byte stood[N];          /* term of the candidacy */
byte asked[N];          /* what an answer to it is still worth */
byte beat[N], older[N]; /* the same for the newest renewal and for the one before */
byte slack[N];          /* ticks before this clock may miss one again */

/* Messages. */
byte granted[N];        /* of these voters, to the present candidacy */
byte acked[N], acked_older[N];
byte asking[TERMS + 1]; /* bit c: request of c; bit 4 + c: the boot that sent it */
bit  renewal[TERMS + 1];
byte winner[TERMS + 1] = NOBODY;
bit  winner_boot[TERMS + 1];
short released[N];      /* bit 2 * term + boot */
bit  fenced[N];         /* boot 0 of it is attested dead */
byte restarts;

hidden byte i, k, was;

#define BIT(x)         (1 << (x))
#define HOLDS(m)       (holds[m] && left[m] > STOP)
#define BINDS(m, d, b) (promise[m] > 0 && voted[m] == (d) && promised_boot[m] == (b))
#define TWO(what, a, b) (what(a) && what(b))
#define SERVES(m)      (serves[m])

inline free(m) { promise[m] = 0; promised_boot[m] = 0 }

/* voting.promise. With one ttl a promise is never shortened by a newer one. */
inline give_promise(m, d, b, tt) {
  assert(tt >= term[m]);                                        /* S4: a term never goes back */
  term[m] = tt; voted[m] = d; promised_boot[m] = b; promise[m] = TTL
}

inline drop_answers(d) { beat[d] = 0; older[d] = 0; acked[d] = 0; acked_older[d] = 0 }

inline end_candidacy(d) {
#ifndef LATE
  asking[stood[d]] = asking[stood[d]] & ~BIT(d) & ~BIT(4 + d);
#endif
#ifndef NO_REQUEST_IN_ANSWER
  granted[d] = 0;
#endif
  stands[d] = 0; stood[d] = 0; asked[d] = 0
}

/* standing.give_up: while an older lease still runs it frees nobody. */
inline give_up(d) {
  if
#ifdef NO_KEEPING_WHILE_HELD
  :: true ->
#else
  :: !HOLDS(d) ->
#endif
     released[d] = released[d] | BIT(2 * stood[d] + boot[d]);
     if
     :: BINDS(d, d, boot[d]) -> free(d)
     :: else
     fi
  :: else
  fi;
  end_candidacy(d)
}

/* Turn.lose: late answers do not revive it; nobody is freed before everything is stopped. */
inline lose(d) { holds[d] = 0; renews[d] = 0; drop_answers(d); end_candidacy(d) }

/* After each step: check, then forget what can have no effect any more. */
inline done() {
  assert(!TWO(HOLDS, 0, 1) && !TWO(HOLDS, 0, 2) && !TWO(HOLDS, 1, 2));         /* S1 */
  assert(!TWO(SERVES, 0, 1) && !TWO(SERVES, 0, 2) && !TWO(SERVES, 1, 2));      /* S2 */
  i = 1;
  do
  :: i > TERMS -> break
  :: else ->
     if
     :: term[0] > i && term[1] > i && term[2] > i ->
        asking[i] = 0; renewal[i] = 0; winner[i] = NOBODY; winner_boot[i] = 0;
        released[0] = released[0] & ~(3 << (2 * i));
        released[1] = released[1] & ~(3 << (2 * i));
        released[2] = released[2] & ~(3 << (2 * i))
     :: else
     fi;
     i++
  od;
  i = 0;
  do
  :: i == DATA -> break
  :: else ->
     if
     :: beat[i] == 0 -> acked[i] = 0
     :: else
     fi;
     if
     :: older[i] == 0 -> acked_older[i] = 0
     :: else
     fi;
     if
     :: left[i] == 0 && asked[i] == 0 && beat[i] == 0 -> slack[i] = 0
     :: else
     fi;
     i++
  od;
  i = 0
}

#define DOWN(x) x = (x > 0 -> x - 1 : 0)

/* Time passes; the data nodes in `slow` miss this tick. */
inline tick(slow) {
  k = 0;
  do
  :: k == N -> break
  :: slow & BIT(k) -> slack[k] = TTL - 1; k++
  :: else ->
     DOWN(promise[k]); DOWN(boot_hold[k]); DOWN(slack[k]);
     DOWN(asked[k]); DOWN(beat[k]); DOWN(older[k]); DOWN(left[k]);
     if
     :: promise[k] == 0 -> promised_boot[k] = 0
     :: else
     fi;
     if
     :: left[k] == 0 -> serves[k] = 0           /* the kernel takes the address away */
     :: else
     fi;
     if
     :: holds[k] && left[k] <= STOP -> lose(k)
     :: else
     fi;
     if
     :: stands[k] && asked[k] == 0 -> give_up(k)
     :: else
     fi;
     k++
  od;
  k = 0
}

/* A clock that is slow where nothing of its node's lease counts only keeps promises longer. */
#define MAY_MISS(m) (slack[m] == 0 && (left[m] > 0 || asked[m] > 0 || beat[m] > 0))

#ifdef NO_OWN_PROMISE_KEPT
#define FREE_TO_STAND(c) true
#else
#define FREE_TO_STAND(c) (promise[c] == 0 || BINDS(c, c, boot[c]))
#endif
#ifdef NO_BOOT_HOLD
#define OUT_OF_BOOT_HOLD(v, c) true
#else
#define OUT_OF_BOOT_HOLD(v, c) (boot_hold[v] == 0 || voted[v] == c)
#endif
#ifdef NO_STOP_BEFORE_STANDING
#define STOPPED(c) true
#else
#define STOPPED(c) (holds[c] || !serves[c])
#endif

/* asking.stand, then _ask_for_votes at once: a pre-vote can only keep a node from it. */
#define STAND(c, t) \
  :: d_step { t <= TERMS && !stands[c] && term[c] < t && STOPPED(c) && FREE_TO_STAND(c) && \
       OUT_OF_BOOT_HOLD(c, c) -> stand(c, t) }

inline stand(c, t) {
  give_promise(c, c, boot[c], t);
  if
#ifndef NO_END_OF_RENEWING
  :: holds[c] -> renews[c] = 0; drop_answers(c)
#endif
  :: else
  fi;
  stands[c] = 1; stood[c] = t; asked[c] = WORTH;
  asking[t] = (asking[t] & ~BIT(4 + c)) | BIT(c) | (boot[c] << (4 + c))
}

#define LOSE(c) :: d_step { holds[c] -> lose(c) }

#define GIVE_UP(c) :: d_step { stands[c] -> give_up(c) }

#ifdef NO_VOTED_FOR
#define TERM_IS_FREE(v, c, t) (t >= term[v])
#else
#define TERM_IS_FREE(v, c, t) (t > term[v] || (t == term[v] && voted[v] == c))
#endif
#ifdef NO_PROMISE
#define UNPROMISED(v, c, t) true
#elif defined(NO_BOOT_IN_PROMISE)
#define UNPROMISED(v, c, t) (promise[v] == 0 || voted[v] == c)
#else
#define UNPROMISED(v, c, t) (promise[v] == 0 || BINDS(v, c, (asking[t] >> (4 + c)) & 1))
#endif

/* asking.on_grant and _win: with its own vote, one is a majority of three. */
#define WIN(c) \
  :: d_step { stands[c] && granted[c] != 0 && asked[c] > STOP -> win(c) }

inline win(c) {
  assert(winner[stood[c]] == NOBODY);                           /* S4: a term is won once */
  winner[stood[c]] = c; winner_boot[stood[c]] = boot[c];
#ifdef NO_COUNTING_FROM_SENDING
  asked[c] = WORTH;
#endif
  left[c] = (HOLDS(c) && left[c] > asked[c] -> left[c] : asked[c]);
  holds[c] = 1; renews[c] = 1; serves[c] = 1; held[c] = stood[c];
  drop_answers(c); end_candidacy(c)
}

/* voting.judge and on_vote_request. */
#define VOTE(v, c, t) \
  :: d_step { v != c && (asking[t] & BIT(c)) && TERM_IS_FREE(v, c, t) && UNPROMISED(v, c, t) && \
       OUT_OF_BOOT_HOLD(v, c) -> vote(v, c, t) }

inline vote(v, c, t) {
  if
  :: stands[v] -> give_up(v)
  :: else
  fi;
  give_promise(v, c, (asking[t] >> (4 + c)) & 1, t);
  if
#ifdef LATE
  :: stands[c] && stood[c] == t -> granted[c] = granted[c] | BIT(v)
#else
  :: stands[c] && stood[c] == t && asked[c] > STOP -> win(c)
#endif
  :: else
  fi
}

/* holding.beat; at most two renewals may still be answered, an earlier one counts as lost. */
#define RENEW(c) :: d_step { renews[c] && beat[c] < WORTH -> renew(c) }

inline renew(c) {
#ifdef LATE
  older[c] = beat[c]; acked_older[c] = acked[c]; acked[c] = 0;
#endif
  beat[c] = WORTH;
#ifndef NO_OWN_PROMISE
  give_promise(c, c, boot[c], held[c]);
#endif
  renewal[held[c]] = 1
}

inline extend(c) {
#ifdef NO_COUNTING_FROM_SENDING
  was = WORTH;
#endif
  left[c] = (left[c] < was -> was : left[c])
}

/* voting.on_renew. */
#ifdef NO_TERM_ON_RENEWAL
#define TERM_IS_NEW(v, t) true
#else
#define TERM_IS_NEW(v, t) (t >= term[v])
#endif
#define ACK(v, t) \
  :: d_step { renewal[t] && winner[t] != v && TERM_IS_NEW(v, t) -> ack(v, t) }

inline ack(v, t) {
  if
#ifndef NO_END_OF_CANDIDACY
  :: stands[v] -> give_up(v)
#endif
  :: else
  fi;
  if
  :: holds[v] && held[v] < t -> lose(v)
  :: else
  fi;
#ifdef NO_TERM_ON_RENEWAL
  term[v] = t;
#endif
#ifdef NO_VOTED_FOR_ON_RENEWAL
  was = voted[v];
#endif
  give_promise(v, winner[t], winner_boot[t], t);
#ifdef NO_VOTED_FOR_ON_RENEWAL
  voted[v] = (was == NOBODY -> voted[v] : was);
#endif
  k = winner[t];
  if
#ifdef LATE
  :: renews[k] && held[k] == t && beat[k] > 0 -> acked[k] = acked[k] | BIT(v)
#else
  :: renews[k] && held[k] == t && beat[k] > 0 -> was = beat[k]; extend(k)
#endif
  :: else
  fi
}

/* The one before the newest, overtaken by it. */
#define ACK_OLDER(v, t) \
  :: d_step { renewal[t] && winner[t] != v && TERM_IS_NEW(v, t) && renews[winner[t]] && \
       held[winner[t]] == t && older[winner[t]] > 0 -> ack(v, t); \
       acked[k] = acked[k] & ~BIT(v); acked_older[k] = acked_older[k] | BIT(v) }

/* holding.on_ack: counted from the sending of the beat that it answers. */
#define ON_ACK(c) :: d_step { acked[c] != 0 -> was = beat[c]; acked[c] = 0; extend(c) }

#ifdef NO_BEAT_NUMBER
#define SENT_BEFORE(c) beat[c]
#else
#define SENT_BEFORE(c) older[c]
#endif
#define ON_OLDER_ACK(c) \
  :: d_step { acked_older[c] != 0 -> was = SENT_BEFORE(c); acked_older[c] = 0; extend(c) }

#define STOPS(c) :: d_step { !holds[c] && serves[c] -> serves[c] = 0; left[c] = 0 }

/* holding.on_stopped: a planned release, or one that follows a lost lease. */
#ifdef NO_STOP_BEFORE_RELEASE
#define MAY_RELEASE(c) (held[c] > 0)
#else
#define MAY_RELEASE(c) (held[c] > 0 && (holds[c] || !serves[c]))
#endif
#define RELEASE(c) :: d_step { MAY_RELEASE(c) -> release(c) }

inline release(c) {
  released[c] = released[c] | BIT(2 * held[c] + boot[c]);
  if
  :: BINDS(c, c, boot[c]) && term[c] <= held[c] -> free(c)
  :: else
  fi;
#ifndef NO_DROPPING_AT_RELEASE
  lose(c); held[c] = 0;
#endif
#ifndef NO_STOP_BEFORE_RELEASE
  serves[c] = 0; left[c] = 0
#endif
}

/* voting.on_release: it frees a promise to that member and boot, of that term or an older one. */
#ifdef NO_TERM_IN_RELEASE
#define COVERS(v, t) true
#else
#define COVERS(v, t) (term[v] <= t)
#endif
#define FREED(v, c, t) \
  :: d_step { v != c && promise[v] > 0 && voted[v] == c && \
       (released[c] & BIT(2 * t + promised_boot[v])) && COVERS(v, t) -> free(v) }

/* quorum.start: what is volatile is gone, the deadline file is not. */
#ifdef NO_DURABLE_VOTE
#define FORGET(v) voted[v] = NOBODY; term[v] = 0
#else
#define FORGET(v) skip
#endif
#define RESTART(v) \
  :: d_step { restarts < RESTARTS -> restart(v); holds[v] = 0 } \
  :: d_step { restarts < RESTARTS && HOLDS(v) -> restart(v) }

inline restart(v) {
  restarts++;
  free(v); end_candidacy(v); drop_answers(v); renews[v] = 0;
  boot_hold[v] = (voted[v] == NOBODY -> 0 : TTL);
  FORGET(v)
}

#define REBOOT(v) \
  :: d_step { restarts < RESTARTS && boot[v] == 0 -> reboot(v) }

inline reboot(v) {
  restart(v);
  holds[v] = 0; serves[v] = 0; left[v] = 0; held[v] = 0; boot[v] = 1; fenced[v] = 1
}

/* voting.on_fenced. */
#ifdef NO_BOOT_IN_FENCED
#define OF_FENCED_BOOT(v) true
#else
#define OF_FENCED_BOOT(v) (promised_boot[v] == 0)
#endif
#define FENCED(v, c) \
  :: d_step { v != c && fenced[c] && promise[v] > 0 && voted[v] == c && OF_FENCED_BOOT(v) -> \
       free(v) }

#if TERMS == 2
#define TERM_BY_TERM(WHAT, v, c) WHAT(v, c, 1) WHAT(v, c, 2)
#define EACH_TERM(WHAT, m) WHAT(m, 1) WHAT(m, 2)
#elif TERMS == 3
#define TERM_BY_TERM(WHAT, v, c) WHAT(v, c, 1) WHAT(v, c, 2) WHAT(v, c, 3)
#define EACH_TERM(WHAT, m) WHAT(m, 1) WHAT(m, 2) WHAT(m, 3)
#else
#define TERM_BY_TERM(WHAT, v, c) WHAT(v, c, 1) WHAT(v, c, 2) WHAT(v, c, 3) WHAT(v, c, 4)
#define EACH_TERM(WHAT, m) WHAT(m, 1) WHAT(m, 2) WHAT(m, 3) WHAT(m, 4)
#endif

#define OF_NODE(c) \
  EACH_TERM(STAND, c) GIVE_UP(c) RENEW(c) STOPS(c) RELEASE(c) REBOOT(c) LATE_OF_NODE(c) \
  TERM_BY_TERM(VOTE, 0, c) TERM_BY_TERM(VOTE, 1, c) TERM_BY_TERM(VOTE, 2, c) \
  TERM_BY_TERM(FREED, 0, c) TERM_BY_TERM(FREED, 1, c) TERM_BY_TERM(FREED, 2, c) \
  FENCED(0, c) FENCED(1, c) FENCED(2, c)

#ifdef LATE
#define LATE_OF_NODE(c) WIN(c) ON_ACK(c) ON_OLDER_ACK(c)
#define OF_MEMBER(v) EACH_TERM(ACK, v) EACH_TERM(ACK_OLDER, v) RESTART(v)
#else
#define LATE_OF_NODE(c)
#define OF_MEMBER(v) EACH_TERM(ACK, v) RESTART(v)
#endif

active proctype world() {
  d_step { stand(0, 1) }        /* the data nodes are alike: let the first be the first */
end:
  do
  :: atomic {
  if
  :: d_step { true -> tick(0) }
#ifdef CLOCKS
  :: d_step { MAY_MISS(0) -> tick(1) }
  :: d_step { MAY_MISS(1) -> tick(2) }
  :: d_step { MAY_MISS(0) && MAY_MISS(1) -> tick(3) }
#if DATA == 3
  :: d_step { MAY_MISS(2) -> tick(4) }
  :: d_step { MAY_MISS(0) && MAY_MISS(2) -> tick(5) }
  :: d_step { MAY_MISS(1) && MAY_MISS(2) -> tick(6) }
  :: d_step { MAY_MISS(0) && MAY_MISS(1) && MAY_MISS(2) -> tick(7) }
#endif
#else
  LOSE(0) LOSE(1)
#if DATA == 3
  LOSE(2)
#endif
#endif
  OF_NODE(0)
  OF_NODE(1)
#if DATA == 3
  OF_NODE(2)
#endif
  OF_MEMBER(0)
  OF_MEMBER(1)
  OF_MEMBER(2)
  fi;
  d_step { done() }
  }
  od
}
