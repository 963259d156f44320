/* One change of the config, with clocks: S1 and S4 while voters and timers change.

   Data nodes 0 and 1 with witness 2 become data nodes 0 and 1 with witness 3: two voters at once,
   which the core refuses, so that old and new majorities need not meet and the joint config has to
   carry the safety alone. The ttl changes as well, to longer or to shorter.

   Clocks are taken at their extremes: a promise lasts its ttl by the fastest clock, and a lease with
   its guard, its ticks and its stop the whole ttl that was asked for, by the slowest. Every NO_...
   takes one rule away, and test_model.py shows that it is missed. */

#ifndef TERMS
#define TERMS 2
#endif
#ifndef RESTARTS
#define RESTARTS 0
#endif
#ifndef TTL_OLD
#define TTL_OLD 2
#endif
#ifndef TTL_NEW
#define TTL_NEW 3
#endif
#define LONGER  (TTL_OLD > TTL_NEW -> TTL_OLD : TTL_NEW)
#define SHORTER (TTL_OLD < TTL_NEW -> TTL_OLD : TTL_NEW)

#define NOBODY   4
#define BIT(x)   (1 << (x))
#define LEAST(a, b) ((a) < (b) -> (a) : (b))
#define MOST(a, b)  ((a) > (b) -> (a) : (b))

#define OLD   0
#define JOINT 1
#define NEW   2

/* A version is 3 * term + seq; `config` says which config the record of a version carries. */
#define VERSIONS (3 * TERMS + 3)
#define TERM(ver) ((ver) / 3)
byte config[VERSIONS];

byte term[4];
byte voted[4] = NOBODY;
byte record[4];
byte longest[4];        /* durable: the longest ttl promised to `voted` */
byte promise[4];
byte boot_hold[4];

bit  holds[2], stands[2];
byte held[2], left[2], kept[2], stood[2];
byte asked[2];          /* what an answer to the candidacy, or to the newest renewal, is worth */
byte yes[2];            /* members that granted, or acknowledged the newest record */
byte assured[8];        /* per holder and voter: what the voter's answers assure */
#define ASSURED(c, v) assured[4 * (c) + (v)]

byte asking[TERMS + 1];
bit  renewal[VERSIONS];
byte winner[TERMS + 1] = NOBODY;
byte restarts;

hidden byte i, k;

#define OTHER(c)   (1 - (c))
#define CONFIG(m)  config[record[m]]

/* Config.ttl_ms and Config.hold_ms. */
#ifdef NO_LONGER_PROMISE
#define JOINT_TTL SHORTER
#else
#define JOINT_TTL LONGER
#endif
#ifdef NO_SHORTER_HOLD
#define JOINT_HOLD LONGER
#else
#define JOINT_HOLD SHORTER
#endif
#define TTL(cfg)  (cfg == OLD -> TTL_OLD : (cfg == NEW -> TTL_NEW : JOINT_TTL))
#define HOLD(cfg) (cfg == OLD -> TTL_OLD : (cfg == NEW -> TTL_NEW : JOINT_HOLD))

/* tally.tally: candidate and holder are of every electorate, so one more of each is a majority. */
#define IN(set, m) (((set) >> (m)) & 1)
#ifdef NO_BOTH_MAJORITIES
#define MAJORITY(cfg, c, set) (IN(set, OTHER(c)) || (cfg != NEW && IN(set, 2)) || (cfg != OLD && IN(set, 3)))
#else
#define MAJORITY(cfg, c, set) (IN(set, OTHER(c)) || \
  ((cfg == NEW || IN(set, 2)) && (cfg == OLD || IN(set, 3))))
#endif

/* tally.lease_until_ms. */
inline count(c) {
  if
  :: CONFIG(c) == OLD -> k = MOST(ASSURED(c, OTHER(c)), ASSURED(c, 2))
  :: CONFIG(c) == NEW -> k = MOST(ASSURED(c, OTHER(c)), ASSURED(c, 3))
#ifdef NO_BOTH_MAJORITIES
  :: else -> k = MOST(ASSURED(c, OTHER(c)), MOST(ASSURED(c, 2), ASSURED(c, 3)))
#else
  :: else -> k = MOST(ASSURED(c, OTHER(c)), LEAST(ASSURED(c, 2), ASSURED(c, 3)))
#endif
  fi;
  left[c] = MOST(left[c], MOST(k, kept[c]));
  k = 0
}

inline forget_answers(c) {
  ASSURED(c, 0) = 0; ASSURED(c, 1) = 0; ASSURED(c, 2) = 0; ASSURED(c, 3) = 0
}

/* voting.promise. */
inline give_promise(m, d, tt, ttl) {
  assert(tt >= term[m]);                                        /* S4 */
#ifdef NO_LONGEST
  promise[m] = ttl;
#else
  promise[m] = (voted[m] == d && promise[m] > ttl -> promise[m] : ttl);
#endif
  longest[m] = (voted[m] == d && longest[m] > ttl -> longest[m] : ttl);
  term[m] = tt; voted[m] = d
}

inline end_candidacy(c) {
  asking[stood[c]] = asking[stood[c]] & ~BIT(c);
  stands[c] = 0; stood[c] = 0
}

/* A failed candidacy frees its own promise; that of its voters runs out. */
inline give_up(c) {
  if
  :: !holds[c] && voted[c] == c -> promise[c] = 0
  :: else
  fi;
  end_candidacy(c); asked[c] = 0; yes[c] = 0
}

inline lose(c) {
  if
  :: stands[c] -> end_candidacy(c)
  :: else
  fi;
  renewal[3 * held[c]] = 0; renewal[3 * held[c] + 1] = 0; renewal[3 * held[c] + 2] = 0;
  holds[c] = 0; held[c] = 0; left[c] = 0; kept[c] = 0; asked[c] = 0; yes[c] = 0; forget_answers(c)
}
#define LOSE(c) :: d_step { holds[c] -> lose(c) }

#define DOWN(x) x = (x > 0 -> x - 1 : 0)
inline tick() {
  k = 0;
  do
  :: k == 4 -> break
  :: else -> DOWN(promise[k]); DOWN(boot_hold[k]); DOWN(assured[k]); DOWN(assured[4 + k]); k++
  od;
  k = 0;
  do
  :: k == 2 -> break
  :: else ->
     DOWN(left[k]); DOWN(kept[k]); DOWN(asked[k]);
     if
     :: holds[k] && left[k] == 0 -> lose(k)
     :: stands[k] && asked[k] == 0 -> give_up(k)
     :: else
     fi;
     k++
  od;
  k = 0
}

/* asking.stand; a holder that stands again is in lease.pml. */
#define STAND(c, t) \
  :: d_step { t > term[c] && !stands[c] && !holds[c] && (promise[c] == 0 || voted[c] == c) && \
       (boot_hold[c] == 0 || voted[c] == c) -> stand(c, t) }
inline stand(c, t) {
  give_promise(c, c, t, TTL(CONFIG(c)));
  stands[c] = 1; stood[c] = t; asked[c] = HOLD(CONFIG(c)); yes[c] = 0;
  asking[t] = asking[t] | BIT(c)
}
#define GIVE_UP(c) :: d_step { stands[c] -> give_up(c) }

/* voting.judge: the candidate's record, and with it its config, must not be older. */
#define VOTE(v, c, t) \
  :: d_step { v != c && (asking[t] & BIT(c)) && record[v] <= record[c] && \
       (t > term[v] || (t == term[v] && voted[v] == c)) && \
       (promise[v] == 0 || voted[v] == c) && (boot_hold[v] == 0 || voted[v] == c) -> vote(v, c, t) }
inline vote(v, c, t) {
  if
  :: v < 2 && stands[v] -> give_up(v)
  :: else
  fi;
  record[v] = record[c];
  give_promise(v, c, t, TTL(CONFIG(c)));
  yes[c] = yes[c] | BIT(v);
  ASSURED(c, v) = asked[c];
  if
  :: MAJORITY(CONFIG(c), c, yes[c]) -> win(c)
  :: else
  fi
}

inline win(c) {
  i = stood[c];
  assert(winner[i] == NOBODY);                                  /* S4 */
  winner[i] = c; holds[c] = 1; held[c] = i; left[c] = 0; kept[c] = 0;
  count(c);
  config[3 * i] = CONFIG(c); record[c] = 3 * i; renewal[3 * i] = 1;
  end_candidacy(c); asked[c] = 0; yes[c] = 0
}

/* holding.beat. */
#define RENEW(c) :: d_step { holds[c] && asked[c] < HOLD(CONFIG(c)) -> renew(c) }
inline renew(c) {
  asked[c] = HOLD(CONFIG(c));
  give_promise(c, c, held[c], TTL(CONFIG(c)))
}

/* voting.on_renew and holding.on_ack: only an answer to the newest renewal counts, which names the
   holder's config. */
#define ACK(v, ver) \
  :: d_step { renewal[ver] && winner[TERM(ver)] != v && TERM(ver) >= term[v] -> ack(v, ver) }
inline ack(v, ver) {
  i = winner[TERM(ver)];
  if
  :: v < 2 && stands[v] -> give_up(v)
  :: else
  fi;
  if
  :: v < 2 && holds[v] && held[v] < TERM(ver) -> lose(v)
  :: else
  fi;
  record[v] = MOST(record[v], ver);
  give_promise(v, i, TERM(ver), TTL(config[ver]));
  if
#ifdef NO_CONFIG_IN_ANSWER
  :: holds[i] && held[i] == TERM(ver) && asked[i] > 0 ->
#else
  :: holds[i] && record[i] == ver && asked[i] > 0 ->
#endif
     yes[i] = yes[i] | BIT(v); ASSURED(i, v) = MOST(ASSURED(i, v), asked[i]);
     count(i)
  :: else
  fi;
  i = 0
}

/* changing._enter: cut the lease to what both configs assure, forget the answers, propose. */
#ifdef NO_FIRST_COMMIT
#define COMMITTED(c) true
#else
#define COMMITTED(c) MAJORITY(CONFIG(c), c, yes[c])
#endif
#ifdef NO_JOINT
#define NEXT(c) NEW
#else
#define NEXT(c) (CONFIG(c) + 1)
#endif
#ifdef NO_COMMIT_OF_JOINT
#define MAY_CHANGE(c) (CONFIG(c) == JOINT || COMMITTED(c))
#else
#define MAY_CHANGE(c) COMMITTED(c)
#endif
#define CHANGE(c) :: d_step { holds[c] && held[c] < TERMS && CONFIG(c) < NEW && MAY_CHANGE(c) -> change(c) }
inline change(c) {
  i = record[c] + 1;
  config[i] = NEXT(c);
#ifdef NO_CUT
  kept[c] = left[c];
#else
  kept[c] = LEAST(left[c], LEAST(HOLD(CONFIG(c)), HOLD(config[i])));
#endif
#ifndef NO_FORGETTING
  forget_answers(c);
#endif
  left[c] = kept[c]; yes[c] = 0;
  record[c] = i; renewal[i] = 1;
  renew(c);
  i = 0
}

/* quorum.start. */
#define RESTART(v) :: d_step { restarts < RESTARTS -> restart(v) }
inline restart(v) {
  restarts++;
  promise[v] = 0;
#ifdef NO_LONGEST_IN_BOOT_HOLD
  boot_hold[v] = (voted[v] == NOBODY -> 0 : TTL(CONFIG(v)));
#else
  boot_hold[v] = (voted[v] == NOBODY -> 0 : MOST(TTL(CONFIG(v)), longest[v]));
#endif
  if
  :: v < 2 -> lose(v)
  :: else
  fi
}

inline done() {
  assert(!(holds[0] && holds[1]));                              /* S1 */
  i = 1;
  do
  :: i > TERMS -> break
  :: else ->
     if
     :: term[0] > i && term[1] > i && term[2] > i && term[3] > i ->
        asking[i] = 0; renewal[3 * i] = 0; renewal[3 * i + 1] = 0; renewal[3 * i + 2] = 0;
        winner[i] = NOBODY
     :: else
     fi;
     i++
  od;
  i = 0; k = 0
}

#if TERMS == 2
#define EACH_TERM(WHAT, m) WHAT(m, 1) WHAT(m, 2)
#define TERM_BY_TERM(WHAT, v, c) WHAT(v, c, 1) WHAT(v, c, 2)
#define EACH_VERSION(WHAT, m) \
  WHAT(m, 3) WHAT(m, 4) WHAT(m, 5) WHAT(m, 6) WHAT(m, 7) WHAT(m, 8)
#else
#define EACH_TERM(WHAT, m) WHAT(m, 1) WHAT(m, 2) WHAT(m, 3)
#define TERM_BY_TERM(WHAT, v, c) WHAT(v, c, 1) WHAT(v, c, 2) WHAT(v, c, 3)
#define EACH_VERSION(WHAT, m) \
  WHAT(m, 3) WHAT(m, 4) WHAT(m, 5) WHAT(m, 6) WHAT(m, 7) WHAT(m, 8) WHAT(m, 9) WHAT(m, 10) \
  WHAT(m, 11)
#endif
#define OF_NODE(c) \
  EACH_TERM(STAND, c) GIVE_UP(c) LOSE(c) RENEW(c) CHANGE(c) \
  TERM_BY_TERM(VOTE, 0, c) TERM_BY_TERM(VOTE, 1, c) TERM_BY_TERM(VOTE, 2, c) \
  TERM_BY_TERM(VOTE, 3, c)

active proctype world() {
  d_step { stand(0, 1); done() }        /* the data nodes are alike: let the first be the first */
end:
  do
  :: atomic {
       if
       :: d_step { true -> tick() }
       OF_NODE(0)
       OF_NODE(1)
       EACH_VERSION(ACK, 0) RESTART(0)
       EACH_VERSION(ACK, 1) RESTART(1)
       EACH_VERSION(ACK, 2) RESTART(2)
       EACH_VERSION(ACK, 3) RESTART(3)
       fi;
       d_step { done() }
     }
  od
}
