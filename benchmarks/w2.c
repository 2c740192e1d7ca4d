/* The reference workload W2 in plain C, for this one workflow: what the engine, which takes any, is held beside.
 *
 *     planner -> 3 researchers -> writer <-> critic (back with 0.4, 3 times at most) -> guardrail
 *                                                                     -> with 0.03 a fallback
 *
 * An attempt waits for one of 32 slots (first come, first served), lasts TTFT + (output - 1) / speed, fails at its end
 * with 0.02 and is tried twice more after 0.5 s x 2^k x (0.5 + U). Arrivals are Poisson.
 *
 * What makes it fast: one stream of SplitMix64, ziggurat normals (Marsaglia and Tsang 2000, 256 layers), the steps'
 * laws as constants, a 4-ary heap of 16-byte events whose root is replaced instead of taken out and put in, the next
 * arrival kept outside it, and a record a run that its next user takes over.
 *
 * Reported are latency, first token of the last step, tokens, calls, attempts and outcome of each run; by step visits,
 * attempts, tokens, seconds by component, those on the critical path and a histogram of latencies; one of waits. Not
 * reported: critical paths of the slow tail. Not here at all: any other workflow, law, queue, limit or failure, checkpoints,
 * traces.
 *
 * KEYED gives each run, visit and attempt a stream of its own, as the engine does; BARE leaves out all that is by step.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PLANNER, RESEARCHER, WRITER, CRITIC, GUARDRAIL, FALLBACK, STEPS };
enum { QUEUE, PREFILL, DECODE, BACKOFF, PARTS };
enum { CALLS, ATTEMPTS, LATENCY, INPUT, OUTPUT, SECONDS, CRITICAL = SECONDS + PARTS, TOTALS = CRITICAL + PARTS };

#ifdef BARE
#define BY_STEP 0
#else
#define BY_STEP 1
#endif

#define SLOTS 32
#define BRANCHES 3
#define RETRIES 2
#define RETURNS 3
#define FAILURE 0.02
#define GO_BACK 0.4
#define REJECT 0.03

#define BINS 4864 /* of latencies and waits: 128 for each doubling, from 2^-14 s on, by the bits of the number */
#define FIRST_BIN ((1023 - 14) << 7)

typedef struct {
    double ttft, ttft_sigma, output, output_sigma, speed, speed_sigma, input, input_sigma; /* logarithms of medians */
} Law;

typedef struct {
    double asked, start, end, first, begun, part[PARTS];
    int64_t input, output;
    uint64_t key;
    uint32_t run;
    int32_t step, tries;
} Call;

typedef struct {
    Call call[BRANCHES];
    double arrival, first;
    int64_t counted, input, output; /* its place among those that count, or below 0 */
    uint64_t key;
    int32_t calls, attempts, left, rounds, failed;
    uint32_t next_free;
} Run;

typedef struct {
    double time;
    uint32_t call;
    uint32_t waits; /* the end of a backoff, not of an attempt */
} Event;

typedef struct {
    double *e2e, *ttft;
    int64_t *input, *output;
    int32_t *calls, *attempts;
    uint8_t *failed;
    double *totals;  /* [STEPS][TOTALS] */
    int64_t *counts; /* [STEPS + 1][BINS]: visits by their latency, attempts by their wait */
} Columns;

typedef struct {
    uint64_t state, seed;
    double now;
    Law law[STEPS];
    Event *heap;
    uint32_t events, heap_room;
    int hole; /* the root is spent: the next event takes its place */
    uint32_t *queue;
    uint32_t head, waiting, queue_mask;
    int busy;
    Run *runs;
    uint32_t made, room, free_run;
    int64_t left;
    Columns to;
    double total[STEPS][TOTALS];
} Sim;

/* --- random numbers ------------------------------------------------------------------------------------------------ */

#define LAYERS 256
#define ZIGGURAT_R 3.6541528853610088
#define ZIGGURAT_V 0.00492867323399

static uint64_t below[LAYERS];
static double width[LAYERS], height[LAYERS];

static void build_ziggurat(void) {
    const double scale = 4503599627370496.0; /* 2^52 */
    double x = ZIGGURAT_R, inner = x, f = exp(-0.5 * x * x);
    double q = ZIGGURAT_V / f;
    below[0] = (uint64_t)(x / q * scale);
    below[1] = 0;
    width[0] = q / scale;
    width[LAYERS - 1] = x / scale;
    height[0] = 1.0;
    height[LAYERS - 1] = f;
    for (int i = LAYERS - 2; i >= 1; i--) {
        x = sqrt(-2.0 * log(ZIGGURAT_V / x + exp(-0.5 * x * x)));
        below[i + 1] = (uint64_t)(x / inner * scale);
        inner = x;
        height[i] = exp(-0.5 * x * x);
        width[i] = x / scale;
    }
}

static inline uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline uint64_t bits(Sim *s) { return mix(s->state += 0x9E3779B97F4A7C15u); }

/* With KEYED a run, a visit, an attempt, a decision each draw from a stream of their own, whatever happens elsewhere. */
static inline uint64_t keyed(uint64_t key, uint64_t what) {
#ifdef KEYED
    return mix(key + (what + 1) * 0xD1342543DE82EF95u);
#else
    return key + what;
#endif
}

static inline void draw_from(Sim *s, uint64_t key) {
#ifdef KEYED
    s->state = key;
#else
    (void)s, (void)key;
#endif
}

static inline double uniform(Sim *s) { return ((double)(int64_t)(bits(s) >> 11) + 0.5) * 0x1p-53; }

static double __attribute__((noinline)) normal_outside(Sim *s, uint64_t u, double x) {
    for (;;) {
        int i = u & 255;
        if (i == 0) {
            double a, b;
            do {
                a = -log(uniform(s)) / ZIGGURAT_R;
                b = -log(uniform(s));
            } while (b + b < a * a);
            return x < 0 ? -(ZIGGURAT_R + a) : ZIGGURAT_R + a;
        }
        if (height[i] + uniform(s) * (height[i - 1] - height[i]) < exp(-0.5 * x * x)) return x;
        u = bits(s);
        i = u & 255;
        uint64_t m = u >> 12;
        x = (double)(int64_t)m * width[i];
        if (u & 256) x = -x;
        if (m < below[i]) return x;
    }
}

static inline double normal(Sim *s) {
    uint64_t u = bits(s), m = u >> 12;
    int i = u & 255;
    double x = (double)(int64_t)m * width[i];
    if (u & 256) x = -x;
    return __builtin_expect(m < below[i], 1) ? x : normal_outside(s, u, x);
}

/* --- the event list: a 4-ary heap ---------------------------------------------------------------------------------- */

static void sink(Sim *s, Event e) {
    Event *h = s->heap;
    uint32_t n = s->events, i = 0;
    for (;;) {
        uint32_t c = 4 * i + 1;
        if (c >= n) break;
        uint32_t best = c, last = c + 4 < n ? c + 4 : n;
        double t = h[c].time;
        for (uint32_t k = c + 1; k < last; k++)
            if (h[k].time < t) best = k, t = h[k].time;
        if (e.time <= t) break;
        h[i] = h[best];
        i = best;
    }
    h[i] = e;
}

static void push(Sim *s, double time, uint32_t call, uint32_t waits) {
    Event e = {time, call, waits};
    if (s->hole) {
        s->hole = 0;
        sink(s, e);
        return;
    }
    if (s->events == s->heap_room) s->heap = realloc(s->heap, (s->heap_room *= 2) * sizeof(Event));
    Event *h = s->heap;
    uint32_t i = s->events++;
    while (i > 0) {
        uint32_t up = (i - 1) >> 2;
        if (h[up].time <= time) break;
        h[i] = h[up];
        i = up;
    }
    h[i] = e;
}

static inline void fill_hole(Sim *s) {
    if (!s->hole) return;
    s->hole = 0;
    s->events--;
    if (s->events) sink(s, s->heap[s->events]);
}

/* --- calls --------------------------------------------------------------------------------------------------------- */

static inline Call *call_of(Sim *s, uint32_t call) { return &s->runs[call >> 2].call[call & 3]; }

static void serve(Sim *s, uint32_t id) {
    Call *c = call_of(s, id);
    const Law *l = &s->law[c->step];
    draw_from(s, keyed(c->key, (uint64_t)c->tries));
    double output = floor(exp(l->output + l->output_sigma * normal(s)) + 0.5);
    double ttft = exp(l->ttft + l->ttft_sigma * normal(s));
    double per_token = exp(-(l->speed + l->speed_sigma * normal(s)));
    c->output = (int64_t)output;
    c->begun = s->now;
    c->first = s->now + ttft;
    c->end = c->first + (output > 1 ? output - 1 : 0.0) * per_token;
    push(s, c->end, id, 0);
}

static void ask(Sim *s, uint32_t id) {
    call_of(s, id)->asked = s->now;
    if (s->busy < SLOTS) {
        s->busy++;
        serve(s, id);
        return;
    }
    if (s->waiting > s->queue_mask) {
        uint32_t old = s->queue_mask + 1;
        uint32_t *wider = malloc(2 * old * sizeof(uint32_t));
        for (uint32_t i = 0; i < old; i++) wider[i] = s->queue[(s->head + i) & s->queue_mask];
        free(s->queue);
        s->queue = wider, s->head = 0, s->queue_mask = 2 * old - 1;
    }
    s->queue[(s->head + s->waiting++) & s->queue_mask] = id;
}

static void begin(Sim *s, uint32_t run, int lane, int step) {
    Call *c = &s->runs[run].call[lane];
    const Law *l = &s->law[step];
    c->run = run;
    c->step = step;
    c->tries = 0;
    c->start = s->now;
    memset(c->part, 0, sizeof c->part);
    c->key = keyed(s->runs[run].key, (uint64_t)(step << 8 | lane << 4 | s->runs[run].rounds));
    draw_from(s, c->key);
    c->input = (int64_t)(exp(l->input + l->input_sigma * normal(s)) + 0.5);
    s->runs[run].calls++;
    ask(s, run << 2 | (uint32_t)lane);
}

static void arrive(Sim *s, int64_t counted, uint64_t number) {
    uint32_t run = s->free_run;
    if (run == UINT32_MAX) {
        if (s->made == s->room) s->runs = realloc(s->runs, (s->room *= 2) * sizeof(Run));
        run = s->made++;
    } else {
        s->free_run = s->runs[run].next_free;
    }
    Run *r = &s->runs[run];
    r->arrival = s->now;
    r->counted = counted;
    r->key = keyed(s->seed, number);
    r->input = r->output = 0;
    r->calls = r->attempts = r->left = r->rounds = r->failed = 0;
    begin(s, run, 0, PLANNER);
}

static void finish(Sim *s, uint32_t run) {
    Run *r = &s->runs[run];
    if (r->counted >= 0) {
        int64_t i = r->counted;
        s->to.e2e[i] = s->now - r->arrival;
        s->to.ttft[i] = r->first - r->arrival;
        s->to.input[i] = r->input;
        s->to.output[i] = r->output;
        s->to.calls[i] = r->calls;
        s->to.attempts[i] = r->attempts;
        s->to.failed[i] = (uint8_t)r->failed;
        s->left--;
    }
    r->next_free = s->free_run;
    s->free_run = run;
}

static inline void count(int64_t *bins, double seconds) {
    int64_t bin;
    memcpy(&bin, &seconds, sizeof bin);
    bin = (bin >> 45) - FIRST_BIN;
    bins[bin < 0 ? 0 : bin < BINS ? bin : BINS - 1]++;
}

static void visited(Sim *s, Call *c, int done) {
    uint32_t run = c->run;
    Run *r = &s->runs[run];
    int step = c->step;
    int waits = step == RESEARCHER && --r->left > 0; /* for the others, also after a failure */
    if (BY_STEP && r->counted >= 0) {
        double *t = s->total[step];
        t[CALLS] += 1;
        t[LATENCY] += s->now - c->start;
        for (int i = 0; i < PARTS; i++) t[SECONDS + i] += c->part[i];
        if (!waits)
            for (int i = 0; i < PARTS; i++) t[CRITICAL + i] += c->part[i];
        count(s->to.counts + (size_t)step * BINS, s->now - c->start);
    }
    r->first = c->first;
    if (!done) r->failed = 1;
    if (waits) return;
    if (r->failed) {
        finish(s, run);
        return;
    }
    switch (step) {
    case PLANNER:
        r->left = BRANCHES;
        for (int lane = 0; lane < BRANCHES; lane++) begin(s, run, lane, RESEARCHER);
        return;
    case RESEARCHER: begin(s, run, 0, WRITER); return;
    case WRITER: begin(s, run, 0, CRITIC); return;
    case CRITIC:
        draw_from(s, keyed(c->key, RETRIES + 1));
        if (r->rounds < RETURNS && uniform(s) < GO_BACK) {
            r->rounds++;
            begin(s, run, 0, WRITER);
        } else {
            begin(s, run, 0, GUARDRAIL);
        }
        return;
    case GUARDRAIL:
        draw_from(s, keyed(c->key, RETRIES + 1));
        if (uniform(s) < REJECT) {
            begin(s, run, 0, FALLBACK);
            return;
        }
        break;
    }
    finish(s, run);
}

static void ended(Sim *s, uint32_t id) {
    if (s->waiting) {
        uint32_t next = s->queue[s->head & s->queue_mask];
        s->head++, s->waiting--;
        serve(s, next);
    } else {
        s->busy--;
    }
    Call *c = call_of(s, id);
    Run *r = &s->runs[c->run];
    r->attempts++;
    r->input += c->input;
    r->output += c->output;
    if (BY_STEP && r->counted >= 0) {
        c->part[QUEUE] += c->begun - c->asked;
        c->part[PREFILL] += c->first - c->begun;
        c->part[DECODE] += c->end - c->first;
        double *t = s->total[c->step];
        t[ATTEMPTS] += 1;
        t[INPUT] += (double)c->input;
        t[OUTPUT] += (double)c->output;
        count(s->to.counts + (size_t)STEPS * BINS, c->begun - c->asked);
    }
    draw_from(s, keyed(c->key, (uint64_t)(RETRIES + 2 + c->tries)));
    int failed = uniform(s) < FAILURE;
    if (failed && c->tries < RETRIES) {
        double backoff = 0.5 * (double)(1 << c->tries++) * (0.5 + uniform(s));
        c->part[BACKOFF] += backoff;
        push(s, s->now + backoff, id, 1);
        return;
    }
    visited(s, c, !failed);
}

/* --- the simulation ------------------------------------------------------------------------------------------------ */

static void set_laws(Sim *s) {
    static const double given[STEPS][4] = {
        /* TTFT, output, its sigma, input */
        {0.45, 250, 0.5, 800}, {0.60, 400, 0.6, 1500}, {0.80, 700, 0.5, 2500},
        {0.60, 150, 0.4, 1500}, {0.40, 20, 0.3, 1000}, {0.40, 300, 0.4, 600},
    };
    for (int i = 0; i < STEPS; i++)
        s->law[i] = (Law){log(given[i][0]), 0.4, log(given[i][1]), given[i][2], log(80.0), 0.25, log(given[i][3]), 0.3};
}

/* Simulate: `warmup` runs that do not count, then `runs`; others go on arriving until the last of these has ended. */
double simulate(int64_t warmup, int64_t runs, double rate, uint64_t seed, Columns to) {
    Sim *s = calloc(1, sizeof(Sim));
    build_ziggurat();
    set_laws(s);
    s->seed = s->state = mix(seed + 1);
    s->to = to;
    s->left = runs;
    s->free_run = UINT32_MAX;
    s->heap = malloc((s->heap_room = 64) * sizeof(Event));
    s->queue = malloc(64 * sizeof(uint32_t));
    s->queue_mask = 63;
    s->runs = malloc((s->room = 64) * sizeof(Run));
    int64_t number = 0;
    double next = -log(uniform(s)) / rate;
    while (s->left > 0) {
        fill_hole(s);
        if (!s->events || next < s->heap[0].time) {
            s->now = next;
            draw_from(s, keyed(~s->seed, (uint64_t)number));
            next += -log(uniform(s)) / rate;
            int64_t counted = number - warmup;
            arrive(s, counted < runs ? counted : -1, (uint64_t)number++);
            continue;
        }
        Event e = s->heap[0];
        s->hole = 1;
        s->now = e.time;
        if (e.waits)
            ask(s, e.call);
        else
            ended(s, e.call);
    }
    double end = s->now;
    memcpy(to.totals, s->total, sizeof s->total);
    free(s->heap), free(s->queue), free(s->runs), free(s);
    return end;
}
