/* The record and its suspects, without clocks: S2 for an exclusive resource, and S4.

   No clock is trusted here: a promise may be over, and a lease may end or go on, at any moment, as
   it would for machines that their hypervisor stopped. What remains is what keeps an exclusive
   resource from running twice all the same: terms, the record that a majority acknowledged, its
   suspects, and a proof against each of them before a start.

   A message on its way is a bit of state: it may arrive late, twice or never. Every NO_... takes one
   rule away, and test_model.py shows that it is missed. */

#ifndef DATA
#define DATA 2          /* data nodes are 0..DATA-1, the rest of the three are witnesses */
#endif
#ifndef TERMS
#define TERMS 3
#endif

#define NOBODY   3
#define BIT(x)   (1 << (x))

/* A version is 2 * term + seq: seq 0 is the first record of a term, seq 1 one that cleared suspects. */
#define VERSIONS (2 * TERMS + 2)
#define TERM(v)  ((v) >> 1)

byte term[3];
byte voted[3] = NOBODY;
byte record[3];         /* the version that a member holds; what it says is below */

bit  boot[3];
bit  stands[3], yes[3]; /* a candidate; a grant to it may arrive */
byte stood[3];
bit  holds[3], committed[3], must_stop[3];
byte held[3];           /* term of the lease, kept until everything is stopped */
bit  runs[3];           /* the exclusive resource */

byte winner[TERMS + 1] = NOBODY;        /* who wrote the records of a term, and in which boot */
bit  winner_boot[TERMS + 1];
byte suspects[VERSIONS * 6];            /* per version, of member m in boot b: the highest term */
#define SUSPECT(ver, m, b) suspects[(ver) * 6 + 2 * (m) + (b)]

/* Messages. */
byte asking[TERMS + 1];                 /* bit c: a request of c */
byte asked_with[(TERMS + 1) * 3];       /* the record that came with it */
#define WITH(t, c) asked_with[(t) * 3 + (c)]
bit  renewal[VERSIONS];                 /* a renewal with this record */
byte released[3];                       /* stopped: 4 bits per boot, the highest term */
byte fenced[3];                         /* bit b: boot b is attested powered off */

hidden byte i, k;

#ifdef NO_TERM_IN_RECORD_ORDER
#define NEWER(a, b) (((a) & 1) > ((b) & 1))
#else
#define NEWER(a, b) ((a) > (b))
#endif

inline end_candidacy(c) {
  asking[stood[c]] = asking[stood[c]] & ~BIT(c); WITH(stood[c], c) = 0;
  stands[c] = 0; yes[c] = 0; stood[c] = 0
}

inline give_up(c) {
#ifdef NO_STOPPED_IN_RELEASE
  release(c, stood[c]);
#endif
  end_candidacy(c)
}

#define RELEASED(m, b) ((released[m] >> (4 * (b))) & 15)
inline release(c, t) {
  if
  :: RELEASED(c, boot[c]) < t ->
     released[c] = (released[c] & ~(15 << (4 * boot[c]))) | (t << (4 * boot[c]))
  :: else
  fi
}

/* Turn.lose: the lease is over by this node's clock, or it knows better; the resource still runs. */
inline lose(c) { holds[c] = 0; committed[c] = 0; must_stop[c] = 1; end_candidacy(c) }
#define LOSE(c) :: d_step { holds[c] -> lose(c) }

/* asking.stand and _ask_for_votes. */
#ifdef NO_STOP_BEFORE_STANDING
#define MAY_STAND(c) true
#else
#define MAY_STAND(c) (!must_stop[c])
#endif
#define STAND(c, t) \
  :: d_step { t > term[c] && !stands[c] && MAY_STAND(c) -> \
       term[c] = t; voted[c] = c; stands[c] = 1; stood[c] = t; \
       asking[t] = asking[t] | BIT(c); WITH(t, c) = record[c] }
#define GIVE_UP(c) :: d_step { stands[c] -> give_up(c) }

/* voting.judge, rules 1 and 4: a holder's own promise lasts longer than its lease. */
#ifdef NO_RECORD_IN_VOTE
#define RECORD_IS_NEW(v, c, t) true
#else
#define RECORD_IS_NEW(v, c, t) (!NEWER(record[v], WITH(t, c)))
#endif
#define VOTE(v, c, t) \
  :: d_step { v != c && (asking[t] & BIT(c)) && !holds[v] && RECORD_IS_NEW(v, c, t) && \
       (t > term[v] || (t == term[v] && voted[v] == c)) -> vote(v, c, t) }

inline vote(v, c, t) {
  if
  :: stands[v] -> give_up(v)
  :: else
  fi;
  term[v] = t; voted[v] = c;
  if
  :: NEWER(WITH(t, c), record[v]) -> record[v] = WITH(t, c)
  :: else
  fi;
  if
  :: stands[c] && stood[c] == t -> yes[c] = 1
  :: else
  fi
}

/* asking._win and _first_record. */
#define WIN(c) :: d_step { stands[c] && yes[c] -> win(c) }
inline win(c) {
  i = stood[c];
  assert(winner[i] == NOBODY && held[c] < i);                   /* S4 */
  winner[i] = c; winner_boot[i] = boot[c];
  k = 0;
  do
  :: k == 6 -> break
  :: else ->
#ifndef NO_SUSPECTS_TAKEN_OVER
     suspects[12 * i + k] = suspects[6 * record[c] + k];
#endif
     k++
  od;
#ifndef NO_HOLDER_AS_SUSPECT
  k = TERM(record[c]);
  if
  :: k > 0 ->
#ifdef NO_HIGHEST_TERM
     if
     :: SUSPECT(2 * i, winner[k], winner_boot[k]) == 0 ->
        SUSPECT(2 * i, winner[k], winner_boot[k]) = k
     :: else
     fi
#else
     SUSPECT(2 * i, winner[k], winner_boot[k]) = k
#endif
  :: else
  fi;
#endif
  record[c] = 2 * i; held[c] = i; holds[c] = 1; committed[c] = 0;
  renewal[2 * i] = 1;
  end_candidacy(c);
  k = 0
}

/* voting.on_renew; that the answer arrives late changes nothing that the start does not. */
#ifdef NO_TERM_ON_RENEWAL
#define TERM_IS_NEW(v, ver) true
#else
#define TERM_IS_NEW(v, ver) (TERM(ver) >= term[v])
#endif
#define ACK(v, ver) \
  :: d_step { renewal[ver] && winner[TERM(ver)] != v && TERM_IS_NEW(v, ver) -> ack(v, ver) }

inline ack(v, ver) {
  k = winner[TERM(ver)];
  if
  :: stands[v] -> give_up(v)
  :: else
  fi;
  if
  :: holds[v] && held[v] < TERM(ver) -> lose(v)
  :: else
  fi;
  term[v] = TERM(ver); voted[v] = k;
#ifdef NO_RECORD_ORDER
  record[v] = ver;
#else
  if
  :: NEWER(ver, record[v]) -> record[v] = ver
  :: else
  fi;
#endif
  if
  :: holds[k] && held[k] == TERM(ver) -> committed[k] = 1
  :: else
  fi;
  k = 0
}

/* proof.known_proof: what a holder could know by now against a suspect. */
#ifdef NO_TERM_IN_RELEASED
#define PROVEN_RELEASED(m, b, t) (RELEASED(m, b) > 0)
#else
#define PROVEN_RELEASED(m, b, t) (RELEASED(m, b) >= t)
#endif
#ifdef NO_BOOT_IN_FENCED
#define PROVEN_OFF(m, b) (fenced[m] != 0)
#else
#define PROVEN_OFF(m, b) (fenced[m] & BIT(b))
#endif
#ifdef NO_FRESH_BOOT
#define PROVEN_REBOOTED(m, b) (boot[m] > 0)
#else
#define PROVEN_REBOOTED(m, b) (boot[m] > b)
#endif
#define CLEAR(c, m, b) (SUSPECT(record[c], m, b) == 0 || \
  (m == c && b == boot[c] && !must_stop[c]) || \
  PROVEN_RELEASED(m, b, SUSPECT(record[c], m, b)) || PROVEN_OFF(m, b) || PROVEN_REBOOTED(m, b))
#define ALL_CLEAR(c) (CLEAR(c, 0, 0) && CLEAR(c, 0, 1) && CLEAR(c, 1, 0) && CLEAR(c, 1, 1) && \
  CLEAR(c, 2, 0) && CLEAR(c, 2, 1))

#ifdef NO_FIRST_COMMIT
#define MAY_START(c) holds[c]
#else
#define MAY_START(c) (holds[c] && committed[c])
#endif
#define START(c) :: d_step { MAY_START(c) && !runs[c] && ALL_CLEAR(c) -> runs[c] = 1 }

/* holding.settle_suspects: a record without those that are proven stopped. */
#define SETTLE(c) \
  :: d_step { holds[c] && committed[c] && record[c] == 2 * held[c] -> settle(c) }
inline settle(c) {
  i = record[c] + 1;
  if
  :: !CLEAR(c, 0, 0) -> SUSPECT(i, 0, 0) = SUSPECT(record[c], 0, 0)
  :: else
  fi;
  if
  :: !CLEAR(c, 0, 1) -> SUSPECT(i, 0, 1) = SUSPECT(record[c], 0, 1)
  :: else
  fi;
  if
  :: !CLEAR(c, 1, 0) -> SUSPECT(i, 1, 0) = SUSPECT(record[c], 1, 0)
  :: else
  fi;
  if
  :: !CLEAR(c, 1, 1) -> SUSPECT(i, 1, 1) = SUSPECT(record[c], 1, 1)
  :: else
  fi;
  if
  :: !CLEAR(c, 2, 0) -> SUSPECT(i, 2, 0) = SUSPECT(record[c], 2, 0)
  :: else
  fi;
  if
  :: !CLEAR(c, 2, 1) -> SUSPECT(i, 2, 1) = SUSPECT(record[c], 2, 1)
  :: else
  fi;
  record[c] = i; renewal[i] = 1
}

/* holding.on_stopped: everything is verified stopped, and only then released. */
#define STOPPED(c) :: d_step { must_stop[c] -> stopped(c) }
inline stopped(c) {
#ifndef NO_STOP_BEFORE_RELEASE
  runs[c] = 0;
#endif
  must_stop[c] = 0;
  if
  :: held[c] > 0 -> release(c, held[c]); held[c] = 0
  :: else
  fi
}

/* The machine goes down and comes back; the operator may have done it, and attests the boot that it
   knew before. */
#ifdef NO_BOOT_BEFORE_POWER_OFF
#define ATTESTED(c) 1
#else
#define ATTESTED(c) 0
#endif
#define REBOOT(c) \
  :: d_step { boot[c] == 0 -> reboot(c); fenced[c] = fenced[c] | BIT(ATTESTED(c)) }
inline reboot(c) {
  boot[c] = 1; runs[c] = 0; holds[c] = 0; committed[c] = 0; must_stop[c] = 0; held[c] = 0;
  end_candidacy(c)
}

inline done() {
  assert(!(runs[0] && runs[1]) && !(runs[0] && runs[2]) && !(runs[1] && runs[2]));        /* S2 */
  /* Forget records that nobody holds or may receive, and what nobody accepts any more. */
  i = 1;
  do
  :: i > TERMS -> break
  :: else ->
     if
     :: term[0] > i && term[1] > i && term[2] > i ->
        asking[i] = 0; WITH(i, 0) = 0; WITH(i, 1) = 0; WITH(i, 2) = 0;
        renewal[2 * i] = 0; renewal[2 * i + 1] = 0
     :: else
     fi;
     i++
  od;
  i = 2;
  do
  :: i == VERSIONS -> break
  :: else ->
     if
     :: !renewal[i] && record[0] != i && record[1] != i && record[2] != i ->
        k = 1;
        do
        :: k > TERMS -> break
        :: WITH(k, 0) == i || WITH(k, 1) == i || WITH(k, 2) == i -> break
        :: else -> k++
        od;
        if
        :: k > TERMS ->
           SUSPECT(i, 0, 0) = 0; SUSPECT(i, 0, 1) = 0; SUSPECT(i, 1, 0) = 0;
           SUSPECT(i, 1, 1) = 0; SUSPECT(i, 2, 0) = 0; SUSPECT(i, 2, 1) = 0
        :: else
        fi
     :: else
     fi;
     i++
  od;
  i = 0; k = 0
}

#if TERMS == 3
#define EACH_TERM(WHAT, m) WHAT(m, 1) WHAT(m, 2) WHAT(m, 3)
#define TERM_BY_TERM(WHAT, v, c) WHAT(v, c, 1) WHAT(v, c, 2) WHAT(v, c, 3)
#define EACH_VERSION(WHAT, m) \
  WHAT(m, 2) WHAT(m, 3) WHAT(m, 4) WHAT(m, 5) WHAT(m, 6) WHAT(m, 7)
#else
#define EACH_TERM(WHAT, m) WHAT(m, 1) WHAT(m, 2) WHAT(m, 3) WHAT(m, 4)
#define TERM_BY_TERM(WHAT, v, c) WHAT(v, c, 1) WHAT(v, c, 2) WHAT(v, c, 3) WHAT(v, c, 4)
#define EACH_VERSION(WHAT, m) \
  WHAT(m, 2) WHAT(m, 3) WHAT(m, 4) WHAT(m, 5) WHAT(m, 6) WHAT(m, 7) WHAT(m, 8) WHAT(m, 9)
#endif
#define OF_NODE(c) \
  EACH_TERM(STAND, c) GIVE_UP(c) WIN(c) LOSE(c) START(c) SETTLE(c) STOPPED(c) REBOOT(c) \
  TERM_BY_TERM(VOTE, 0, c) TERM_BY_TERM(VOTE, 1, c) TERM_BY_TERM(VOTE, 2, c)

active proctype world() {
  /* The data nodes are alike: let the first be the first to win. */
  d_step {
    term[0] = 1; voted[0] = 0; stands[0] = 1; stood[0] = 1; asking[1] = BIT(0)
  }
end:
  do
  :: atomic {
       if
       OF_NODE(0)
       OF_NODE(1)
#if DATA == 3
       OF_NODE(2)
#endif
       EACH_VERSION(ACK, 0)
       EACH_VERSION(ACK, 1)
       EACH_VERSION(ACK, 2)
       fi;
       d_step { done() }
     }
  od
}
