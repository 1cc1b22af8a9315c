/* SPDX-License-Identifier: MIT */
/*
 * The protocol between those who arm timers of a queue, the inbox, the index,
 * what the kernel is told, and those who sleep for completions.  One process
 * step is one sequentially consistent access of the engine; docs/engine.md has
 * what is left out, check.sh the configurations and what they must show.
 *
 * Time is 1, then 2; a deadline 1 (past), 2 (to come), NEVER, or 0 (none).  Names
 * of steps are those of the functions in core/.
 *
 * With SECOND_TIMER collectors have a second timer, which they set and leave deadlines to
 * whenever they like; time begins at 0 then, so that both timers may come one after the other.
 */

#ifndef TIMERS
#define TIMERS 1
#endif
#ifndef COLLECTORS
#define COLLECTORS 1
#endif
#ifndef MAX_NR
#define MAX_NR 1
#endif
#ifndef MIN_NR
#define MIN_NR 1
#endif

#define NEVER 3
#ifdef SECOND_TIMER
byte now = 0;
#else
byte now = 1;
#endif

/* core/timers/setting.h, core/timers/slot_table.h: the word, replaced by one swap; `life` is
 * odd while the timer lives. */
typedef Slot {
  byte deadline;
  byte setting;   /* generation bits of the word */
  byte scheduled; /* TimerSlot::scheduled_at */
  byte entry;     /* in the index, under the lock */
  byte life = 1;
  bool abandoned; /* DeleteTimer has done with it */
  bool mark;      /* core/timers/inbox.h */
};
Slot slot[TIMERS];

/* core/base/kernel_register.h: value, whether it was told, whether a collector has promised to
 * tell it, count of changes; and what the kernel has. */
typedef Register {
  byte value;
  bool told = true;
  bool promised;
  byte count;
};
Register armed;     /* deadline; 0: none */
Register announced; /* 1: the always-ready member is reported by the epoll */
byte timerfd;
byte ahead;  /* SecondTimer::told_: written under the lock, by a call to the kernel */
bool member;

bool held;
bool open = true;
bool locked;
byte leader;            /* a collector, plus one */
byte waiting;           /* followers, a bit each */
bool woken[COLLECTORS]; /* Sleeper::woken */

/* Bookkeeping of the properties. */
bool deleted;     /* timer_delete of life 1 of slot 0 has returned */
byte ended;       /* collectors that were told EBADF */

#define HAS_COME(deadline, at) ((deadline) != 0 && (deadline) <= (at))
#define READABLE (member || HAS_COME(timerfd, now) || HAS_COME(ahead, now))
#define EARLIER(a, b) ((a) != 0 && ((b) == 0 || (a) < (b)))

/* A thread that a handler has interrupted makes no step until it returns. */
bool handler_runs;
bool victim_left; /* by siglongjmp */
bool signals_blocked;

/* ---- core/base/kernel_register.h ------------------------------------------------ */

inline Raise(reg, to) {
  if
  :: EARLIER(to, reg.value) ->
     reg.value = to; reg.told = false; reg.promised = false; reg.count = (reg.count + 1) % 16
  :: else
  fi
}

/* Tell: the call, then told unless something changed meanwhile. */
#ifdef WITHOUT_SECOND_LOOK_AFTER_TELLING
#define UNCHANGED(reg) true
#else
#define UNCHANGED(reg) (reg.value == value && reg.count == count)
#endif

inline TellArmed() {
  do
  :: atomic { value = armed.value; count = armed.count }
     timerfd = value; /* ArmSource */
     atomic {
       if
       :: UNCHANGED(armed) -> armed.told = true; armed.promised = false; break
       :: else
       fi
     }
  od
}

inline TellAnnounced() {
  do
  :: atomic { value = announced.value; count = announced.count }
     member = (value != 0); /* SwitchOn, or EpollDelete */
     atomic {
       if
       :: UNCHANGED(announced) -> announced.told = true; break
       :: else
       fi
     }
  od
}

/* Ring: a closed queue, which nothing is to quieten again. */
inline Ring() {
#ifdef CLOSE_DOES_NOT_RING
  skip
#else
  member = true;
  timerfd = 1
#endif
}

/* ---- core/queue/arming.cc, core/queue/doorbell.cc ------------------------------------------ */

inline Lower(to) {
  atomic { Raise(armed, to) }
  if
  :: !armed.told -> TellArmed()
  :: else
  fi
}

inline Announce() {
  atomic { Raise(announced, 1) }
  if
  :: !announced.told -> TellAnnounced()
  :: else
  fi
}

/* Queue::Armed, after the word of slot `t` was replaced by deadline `d`. */
inline Armed(t, d) {
  if
  :: slot[t].scheduled != 0 && slot[t].scheduled < d
  :: else ->
     slot[t].mark = true; /* Inbox::Mark */
     NotifyBy(d)
  fi
}

inline NotifyBy(d) {
  tell = true;
  if
  :: armed.value != 0 && armed.value <= d && (armed.told || armed.promised) -> tell = false
  :: else
  fi;
  if
  :: tell && announced.value != 0 && announced.told ->
#ifdef ASKS_NOT_WHETHER_HELD
     tell = false
#else
     if
     :: !held -> tell = false
     :: else
     fi
#endif
  :: else
  fi;
  if
  :: tell -> WakeKernel(d)
  :: else
  fi
}

inline WakeKernel(d) {
#ifndef SIGNALS_NOT_BLOCKED
  if :: interruptible -> signals_blocked = true :: else fi;
#endif
  if
  :: !open
  :: else ->
     if
     :: d > now -> Lower(d)
     :: else ->
        if
        :: held -> Lower(1)
        :: else -> Announce()
        fi
     fi;
     if
     :: !open -> Ring()
     :: else
     fi
  fi;
  if :: interruptible -> signals_blocked = false :: else fi
}

/* SetTimer by a handle of this life: the life is asked for between reading the
 * word and replacing it.  Deadline 0 disarms. */
inline Replace(t, d, life_of) {
  do
  :: atomic { old_deadline = slot[t].deadline; old_setting = slot[t].setting }
#ifdef LIFE_IS_NOT_ASKED_FOR
     lives = true;
#else
     lives = (slot[t].life == life_of);
#endif
     if
     :: !lives -> break
     :: else
     fi;
     atomic {
       if
       :: slot[t].deadline == old_deadline && slot[t].setting == old_setting ->
          assert(slot[t].life == life_of || slot[t].life == life_of + 1); /* not another timer's */
          slot[t].deadline = d; slot[t].setting = (old_setting + 1) % 8; break
       :: else
       fi
     }
  od;
}

inline SetTimer(t, d, life_of) {
  Replace(t, d, life_of);
  if
  :: lives && d != 0 -> Armed(t, d)
  :: else
  fi
}

/* kevent_settime: core/queue/armed_batch.h, after both words were replaced.  Both marks come
 * before the queue is told, by the earlier of the deadlines that are not scheduled. */
inline ArmedBoth(first, second) {
  earliest = 0;
  if
  :: slot[0].scheduled != 0 && slot[0].scheduled < first
  :: else -> slot[0].mark = true; earliest = first
  fi;
#ifdef TOLD_BEFORE_ALL_ARE_MARKED
  if :: earliest != 0 -> NotifyBy(earliest) :: else fi;
#endif
  if
  :: slot[1].scheduled != 0 && slot[1].scheduled < second
  :: else ->
     slot[1].mark = true;
     if
     :: earliest == 0 || second < earliest -> earliest = second
     :: else
     fi
  fi;
#ifndef TOLD_BEFORE_ALL_ARE_MARKED
  if :: earliest != 0 -> NotifyBy(earliest) :: else fi
#endif
}

/* ---- core/timers/timer_index.cc ----------------------------------------------------------- */

inline Reindex(t) {
#ifdef WORD_IS_READ_FIRST
  atomic { seen = slot[t].deadline; slot[t].entry = seen }
  slot[t].scheduled = 0;
#else
  slot[t].scheduled = 0;
  atomic { seen = slot[t].deadline; slot[t].entry = seen }
#endif
  if
  :: seen > clock -> slot[t].scheduled = seen
  :: seen != 0 && seen <= clock -> skip /* due when the clock was last read */
  :: seen == 0 && slot[t].abandoned -> atomic { slot[t].abandoned = false; slot[t].life++ } /* Release, and reuse */
  :: else
  fi
}

inline DrainInbox() {
  i = 0;
  do
  :: i < TIMERS ->
     atomic {
       marked = slot[i].mark;
#ifndef MARK_IS_CLEARED_LAST
       slot[i].mark = false
#endif
     }
     if
     :: marked ->
        Reindex(i);
#ifdef MARK_IS_CLEARED_LAST
        slot[i].mark = false
#endif
     :: else
     fi;
     i++
  :: else -> break
  od;
  i = 0
}

inline InboxEmpty() {
  d_step {
    i = 0; unmarked = true;
    do
    :: i < TIMERS -> unmarked = unmarked && !slot[i].mark; i++
    :: else -> break
    od;
    i = 0
  }
}

/* The slot whose entry is earliest; TIMERS when there is none. */
inline Top() {
  d_step {
    top = TIMERS; i = 0;
    do
    :: i < TIMERS ->
       if
       :: slot[i].entry != 0 && (top == TIMERS || slot[i].entry < slot[top].entry) -> top = i
       :: else
       fi;
       i++
    :: else -> break
    od;
    i = 0
  }
}

/* ---- core/queue/collector.cc, core/queue/doorbell.cc --------------------------------------------- */

inline Claim(t) {
  atomic { old_deadline = slot[t].deadline; old_setting = slot[t].setting }
  life_seen = slot[t].life;
  if
  :: life_seen % 2 == 0 -> /* helps timer_delete */
     atomic {
       if
       :: slot[t].deadline == old_deadline && slot[t].setting == old_setting ->
          slot[t].deadline = 0; slot[t].setting = (old_setting + 1) % 8
       :: else
       fi
     }
     Reindex(t)
  :: else ->
     if
     :: old_deadline != slot[t].entry -> Reindex(t)
     :: else ->
        slot[t].scheduled = 0;
        atomic {
          if
#ifdef CLAIM_DOES_NOT_COMPARE
          :: true ->
#else
          :: slot[t].deadline == old_deadline && slot[t].setting == old_setting ->
#endif
             assert(old_deadline <= now);           /* never early */
             assert(!(deleted && life_seen == 1));  /* never after delete */
             slot[t].deadline = 0; slot[t].entry = 0; claimed++
          :: else -> claim_failed = true
          fi
        }
        if
        :: claim_failed -> claim_failed = false; Reindex(t)
        :: else
        fi
     fi
  fi
}

/* The deadline after that of the top, which is left to the second timer; if there is none, the
 * engine leaves nothing to that. */
inline After() {
  d_step {
    after = 0; i = 0;
    do
    :: i < TIMERS ->
       if
       :: i != top && slot[i].entry > clock && EARLIER(slot[i].entry, after) -> after = slot[i].entry
       :: else
       fi;
       i++
    :: else -> break
    od;
    i = 0
  }
}

#ifdef LEFT_WHILE_HELD
#define MAY_LEAVE true
#else
#define MAY_LEAVE !held
#endif

/* What the first timer is set to: the next deadline, or the one after that. */
inline LeaveToSecond() {
  in_vain = HAS_COME(ahead, clock) && claimed == 0;
  second_came = HAS_COME(ahead, clock);
  if
  :: next != 0 && MAY_LEAVE ->
     if
#ifndef LEFT_TO_A_TIMER_NOT_TOLD
     :: ahead = next; second_came = false
#endif
     :: skip
     fi;
     After();
     if
#ifdef LEFT_TO_A_TIMER_NOT_TOLD
     :: true -> next = after
#else
     :: ahead == next -> next = after
#endif
     :: skip
     fi
  :: else
  fi
}

inline Rearm() {
  if
  :: top == TIMERS -> next = 0
  :: else -> next = slot[top].entry
  fi;
#ifdef SECOND_TIMER
  LeaveToSecond();
#endif
  do
  :: atomic {
       value = armed.value; count = armed.count; come = HAS_COME(value, clock);
       spent = come;
#ifdef SECOND_TIMER
       spent = spent || (in_vain && value != 0 && value != next)
#endif
     }
     if
     :: !spent -> atomic { Raise(armed, next) } break
     :: else ->
        atomic {
          if
          :: armed.value == value && armed.count == count ->
             armed.value = next; armed.told = false; armed.promised = come;
             armed.count = (armed.count + 1) % 16; break
          :: else -> in_vain = false
          fi
        }
     fi
  od;
  if
#ifdef PUT_OFF_WITHOUT_LOOKING_AGAIN
  :: come -> relaxed = true
#else
  :: spent -> relaxed = true
#endif
  :: else
  fi;
  if
  :: !armed.told -> TellArmed()
  :: else
  fi;
#ifdef SECOND_TIMER
  if
  :: second_came -> ahead = 0
  :: else
  fi
#endif
}

inline Withdraw() {
  if
  :: announced.value == 0 && announced.told
  :: else ->
     atomic { announced.value = 0; announced.told = false; announced.count = (announced.count + 1) % 16 }
     TellAnnounced();
     relaxed = true
  fi
}

inline AnnounceToStay() {
#ifdef WHAT_WAS_TAKEN_IS_LEFT_OFF
  skip
#else
  atomic {
    if
    :: announced.value != 0 -> announced.told = false; announced.count = (announced.count + 1) % 16
    :: else -> Raise(announced, 1)
    fi
  }
  TellAnnounced()
#endif
}

/* `left` when something due stays behind. */
inline Settle() {
  do
  :: relaxed = withdrawn; withdrawn = false;
#ifdef WITHDRAWAL_IS_FORGOTTEN
     relaxed = false;
#endif
     /* CleanTop */
     Top();
     do
     :: top != TIMERS && slot[top].entry != slot[top].deadline -> Reindex(top); Top()
     :: else -> break
     od;
     if
     :: top != TIMERS && slot[top].entry <= clock ->
        if
        :: taken -> AnnounceToStay()
        :: !taken && announced.value != 0 && announced.told
        :: else ->
           if
           :: armed.value != 0 && armed.told && armed.value <= clock
           :: HAS_COME(ahead, clock)
           :: else -> Announce()
           fi
        fi;
        left = true;
        break
     :: else
     fi;
     Withdraw();
     Rearm();
     left = false;
#ifdef INBOX_NOT_LOOKED_AT_AGAIN
     break;
#endif
     InboxEmpty();
     if
     :: !relaxed || unmarked -> break
     :: else -> DrainInbox()
     fi
  od
}

/* Collects MAX_NR at most, if MIN_NR are due. */
inline Collect(min) {
  claimed = 0;
  DrainInbox();
  d_step {
  clock = now;
  due = 0; i = 0;
  do
  :: i < TIMERS -> due = due + (slot[i].entry != 0 && slot[i].entry <= clock && slot[i].deadline != 0 && slot[i].deadline <= clock -> 1 : 0); i++
  :: else -> break
  od;
  i = 0
  }
  withdrawn = false; taken = false;
#ifdef WATCHES
  if
  :: due < MAX_NR && due >= min -> /* WithdrawByHarvest */
     relaxed = false; Withdraw(); withdrawn = relaxed
  :: else -> d_step { taken = member; member = false } /* by a harvest, once */
  fi;
#endif
  do
  :: do
     :: min <= 1 || due >= min ->
        Top();
        if
        :: claimed < MAX_NR && top != TIMERS && slot[top].entry <= clock -> Claim(top)
        :: else -> break
        fi
     :: else -> break
     od;
     Settle();
     if
     :: left && (min <= 1 || due >= min) && claimed < MAX_NR -> skip
     :: else -> break
     fi
  od
}

inline Lock() { atomic { !locked -> locked = true } }
inline Unlock() { locked = false }

/* ---- core/queue/sleepers.cc, core/queue/waiting.cc ------------------------------------------- */

inline Promote(me) {
  atomic {
    leader = 0; held = false; i = 0;
    do
    :: i < COLLECTORS ->
       if
       :: (waiting & (1 << i)) != 0 ->
          waiting = waiting & ~(1 << i); leader = i + 1; woken[i] = true; break
       :: else
       fi;
       i++
    :: else -> break
    od;
    i = 0
  }
}

inline LeaveQueue(me) {
  if
  :: leader == me + 1 ->
#ifdef LEADER_IS_NOT_SUCCEEDED
     leader = 0; held = false
#else
     Promote(me)
#endif
  :: else
  fi
}

/* Hold: leaves the descriptor readable, and has the kernel's timer wake us at
 * what is not yet due. */
inline Hold() {
  held = true;
  Announce();
  atomic {
    top = TIMERS; i = 0;
    do
    :: i < TIMERS -> if :: slot[i].entry > clock -> top = i :: else fi; i++
    :: else -> break
    od;
    i = 0
  }
  Rearm();
  role = HOLDS;
#ifndef HOLDS_WITHOUT_LOOKING_AGAIN
  InboxEmpty();
  if
  :: !unmarked -> role = LOOKS
  :: else
  fi
#endif
}

mtype = { LOOKS, LEADS, HOLDS, FOLLOWS, ENDS };

/* kevent_get_events again and again, each for `min` completions. */
proctype Collector(byte me; byte min) {
  byte i, top, seen, value, count, old_deadline, old_setting, life_seen, claimed, clock, next, due;
#ifdef SECOND_TIMER
  byte after;
  bool second_came;
#endif
  bool in_vain, come, spent, relaxed, withdrawn, taken, left, unmarked, marked, claim_failed;
  mtype role;
  do
  :: Lock();
     /* Look */
     if
     :: !open -> LeaveQueue(me); role = ENDS
     :: else ->
        if
        :: leader == me + 1 -> held = false
        :: else
        fi;
        Collect(min);
        if
        :: claimed != 0 ->
           LeaveQueue(me);
           if
           :: role = LOOKS
#ifdef WATCHES
           :: role = LEADS /* as who polls the descriptor */
#endif
           :: me == 0 && COLLECTORS > 1 -> role = ENDS /* and never calls again */
           fi
        :: else ->
           /* Enlist */
           if
           :: leader == 0 || leader == me + 1 ->
              leader = me + 1;
              if
              :: due == 0 -> role = LEADS
              :: else -> Hold()
              fi
           :: else -> woken[me] = false; waiting = waiting | (1 << me); role = FOLLOWS
           fi
        fi;
        if
        :: !open -> Ring()
        :: else
        fi
     fi;
     Unlock();
     if
     :: role == LOOKS
     :: role == LEADS -> READABLE
     :: role == HOLDS -> timerfd != 0 && timerfd <= now
     :: role == FOLLOWS -> woken[me]
     :: role == ENDS -> break
     fi
  od;
  ended++
}

/* ---- Who does what ------------------------------------------------------------------ */

/* Sets one timer to up to three deadlines, one after the other. */
#define NO_MORE 9
proctype Armer(byte t; byte first; byte second; byte third) {
  byte value, count, old_deadline, old_setting, d;
  bool tell, lives;
  bool interruptible = false;
  d = first;
  do
  :: d != NO_MORE -> SetTimer(t, d, 1); d = second; second = third; third = NO_MORE
  :: else -> break
  od
}

/* Sets both timers in one call. */
proctype BatchArmer(byte first; byte second) {
  byte value, count, old_deadline, old_setting, earliest;
  bool tell, lives;
  bool interruptible = false;
  Replace(0, first, 1);
  Replace(1, second, 1);
  ArmedBoth(first, second)
}

/* Sets two timers, one after the other, disarms them, and sets the second anew. */
proctype ArmerOfBoth() {
  byte value, count, old_deadline, old_setting, t, d, step;
  bool tell, lives;
  bool interruptible = false;
  do
  :: step < 5 ->
     d_step {
       t = (step == 0 || step == 2 -> 0 : 1);
       d = (step == 2 || step == 3 -> 0 : t + 1);
       step++
     }
     SetTimer(t, d, 1)
  :: else -> break
  od
}

/* Sets the first timer to a moment that never comes, and is interrupted. */
proctype InterruptedArmer() provided (!handler_runs && !victim_left) {
  byte value, count, old_deadline, old_setting;
  bool tell, lives;
  bool interruptible = true;
  SetTimer(0, NEVER, 1);
  signals_blocked = true
}

/* A handler that comes once, between any two steps of that armer, and sets the
 * same timer; and another one, which leaves by siglongjmp: the armer never goes
 * on. */
proctype Handler() {
  byte value, count, old_deadline, old_setting;
  bool tell, lives;
  bool interruptible = false;
  atomic { !signals_blocked && !victim_left -> handler_runs = true }
  SetTimer(0, 2, 1);
  handler_runs = false
}

proctype LeavingHandler() { atomic { !signals_blocked && !handler_runs -> victim_left = true } }

proctype Clock() {
#ifdef SECOND_TIMER
  now = 1;
#endif
  now = 2
}

/* DropName: the last pin would close the numbers. */
proctype Closer() {
  open = false;
  Ring()
}

/* timer_delete of the first timer; then, when the queue has freed its slot, a
 * new one there. */
proctype Deleter() {
  byte value, count, old_deadline, old_setting;
  bool tell, lives;
  bool interruptible = false;
  slot[0].life = 2;
#ifndef DELETE_DOES_NOT_DISARM
  do
  :: atomic { old_deadline = slot[0].deadline; old_setting = slot[0].setting }
     atomic {
       if
       :: slot[0].deadline == old_deadline && slot[0].setting == old_setting ->
          slot[0].deadline = 0; slot[0].setting = (old_setting + 1) % 8; break
       :: else
       fi
     }
  od;
#endif
  slot[0].abandoned = true;
  deleted = true;
  slot[0].mark = true;
  slot[0].life == 3;
  SetTimer(0, 1, 3)
}

/* When nobody can make a step any more, nothing that is due is left, and after a
 * close everybody has been told. */
proctype Monitor() {
  byte i;
  timeout ->
  if
  :: open ->
     do
     :: i < TIMERS -> assert(slot[i].deadline == 0 || slot[i].deadline > now); i++
     :: else -> break
     od
  :: else -> assert(ended == COLLECTORS)
  fi
}

init {
  atomic {
    run Clock();
    run Collector(0, MIN_NR);
#if COLLECTORS > 1
    run Collector(1, 1);
#endif
#if defined(ARMER)
    run Armer(0, ARMER);
#elif defined(ARMERS_OF_ONE)
    run Armer(0, 1, NO_MORE, NO_MORE);
    run Armer(0, 2, NO_MORE, NO_MORE);
#elif defined(ARMERS_OF_TWO)
    run Armer(0, 1, NO_MORE, NO_MORE);
    run Armer(1, FIRST_OF_SECOND, NO_MORE, NO_MORE);
#elif defined(BOTH)
    run ArmerOfBoth();
#elif defined(BATCH)
    run BatchArmer(BATCH, FIRST_OF_SECOND);
#elif defined(HANDLER)
    run InterruptedArmer();
    run Handler();
    run LeavingHandler();
#else
    run Armer(0, 1, NO_MORE, NO_MORE);
#endif
#ifdef CLOSE
    run Closer();
#endif
#ifdef DELETE
    run Deleter();
#endif
    run Monitor()
  }
}
