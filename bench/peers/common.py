"""What every Python peer does alike: read the work, warm up, time each workload, print JSON.

A peer is a class with
    __init__(args)   loads; its time is reported as load_s
    version          what answered, in words
    run(articles)    token ids of one batch of articles in, logits (or None) out
and one call of `main(Peer)`. Each process runs one peer on one shape and exits, so that no peer
inherits another's memory or thread pools.
"""

import argparse
import json
import os
import sys
import time

BATCH = 16


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", required=True)
    parser.add_argument("--work", required=True, help="JSON: workload name -> list of id lists")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--variant", default="")
    return parser.parse_args()


def pad(articles, pad_id):
    """Right padding to the longest: ids, mask, index of each last token."""
    longest = max(len(ids) for ids in articles)
    ids = [list(a) + [pad_id] * (longest - len(a)) for a in articles]
    mask = [[1] * len(a) + [0] * (longest - len(a)) for a in articles]
    return ids, mask, [len(a) - 1 for a in articles]


def peak_rss_mb():
    """This program's own peak: ru_maxrss would count what the process was before it became it."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def time_once(peer, articles):
    """Batches of neighbours in length, as a careful user of a padding engine would send them."""
    start = time.perf_counter()
    ordered = sorted(articles, key=len)
    for i in range(0, len(ordered), BATCH):
        peer.run(ordered[i : i + BATCH])
    return time.perf_counter() - start


def main(peer_class):
    args = parse()
    with open(args.work) as file:
        work = json.load(file)
    start = time.perf_counter()
    peer = peer_class(args)
    load_s = time.perf_counter() - start
    answers = {}
    for name, articles in work.items():
        time_once(peer, articles)
        answers[name] = {
            "seconds": [time_once(peer, articles) for _ in range(args.repeats)],
            "tokens": sum(map(len, articles)),
        }
    print(
        json.dumps(
            {
                "load_s": load_s,
                "version": peer.version,
                "work": answers,
                "peak_rss_mb": peak_rss_mb(),
            }
        )
    )
    sys.stdout.flush()
    os._exit(0)  # some runtimes take seconds, or crash, on their way out
