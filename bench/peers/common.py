"""What every Python peer does alike: read the work, warm up, time each workload, print JSON.

A peer is a class with
    __init__(args)   loads; its time is reported as load_s
    version          what answered, in words
    max_tokens       of one batch, where there is such a limit
    run(articles)    token ids of one batch of articles in, logits (or None) out
and one call of `main(Peer)`. Each process runs one peer on one shape and exits, so that no peer
inherits another's memory or thread pools.
"""

import argparse
import json
import os
import sys
import time

# Sizes of batches to try: short texts gain from large ones, articles hardly from any.
SHORT_BATCHES, LONG_BATCHES, LONG_TOKENS = (8, 16, 32, 64), (1, 4, 16), 200
SAMPLE = 64


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", required=True)
    parser.add_argument(
        "--work", required=True, help="JSON: workload name -> {ids: list of id lists, repeats: N}"
    )
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--variant", default="")
    parser.add_argument(
        "--batches", default="{}", help="JSON: workload name -> batch size known to be best"
    )
    return parser.parse_args()


def pad(articles, pad_id):
    """Right padding to the longest: ids, mask, index of each last token."""
    longest = max(len(ids) for ids in articles)
    ids = [list(a) + [pad_id] * (longest - len(a)) for a in articles]
    mask = [[1] * len(a) + [0] * (longest - len(a)) for a in articles]
    return ids, mask, [len(a) - 1 for a in articles]


def classify(model, articles, pad_id):
    """Logits of a transformers classifier for one batch; no mask where all are of one length."""
    import torch

    ids, mask, _ = pad(articles, pad_id)
    alike = all(all(row) for row in mask)
    return model(
        input_ids=torch.tensor(ids), attention_mask=None if alike else torch.tensor(mask)
    ).logits


def reset_peak_rss():
    """The highest resident size counts from here. Where the system does not allow it, it counts
    from the start of the process, which only makes it larger."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def peak_rss_mb():
    """This program's own peak: ru_maxrss would count what the process was before it became it."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def time_once(peer, articles, batch):
    """Batches of neighbours in length, as a careful user of a padding engine would send them."""
    start = time.perf_counter()
    ordered = sorted(articles, key=len)
    for i in range(0, len(ordered), batch):
        peer.run(ordered[i : i + batch])
    return time.perf_counter() - start


def best_batch(peer, articles):
    if len(articles) == 1:
        return 1
    mean = sum(map(len, articles)) / len(articles)
    sample = sorted(articles, key=len)[:: max(1, len(articles) // SAMPLE)]
    limit = getattr(peer, "max_tokens", None)
    sizes = SHORT_BATCHES if mean < LONG_TOKENS else LONG_BATCHES
    longest = len(sample[-1])
    sizes = [size for size in sizes if limit is None or size * longest <= limit]
    return min(sizes, key=lambda size: time_once(peer, sample, size))


def time_workload(peer, articles, repeats, batch):
    reset_peak_rss()
    if batch is None:
        batch = best_batch(peer, articles)
    time_once(peer, sorted(articles, key=len)[-batch:], batch)
    return {
        "seconds": [time_once(peer, articles, batch) for _ in range(repeats)],
        "tokens": sum(map(len, articles)),
        "articles": len(articles),
        "batch": batch,
        "peak_rss_mb": peak_rss_mb(),
    }


def main(peer_class):
    args = parse()
    with open(args.work) as file:
        work = json.load(file)
    batches = json.loads(args.batches)
    start = time.perf_counter()
    peer = peer_class(args)
    answer = {"load_s": time.perf_counter() - start, "version": peer.version, "work": {}}
    answer["load_rss_mb"] = peak_rss_mb()
    for name, job in work.items():
        answer["work"][name] = time_workload(peer, job["ids"], job["repeats"], batches.get(name))
    print(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # some runtimes take seconds, or crash, on their way out
