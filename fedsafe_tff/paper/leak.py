"""What the copies across a published split are worth, on the split's own test images."""

import pathlib

from fedsafe_tff.paper import statistics
from fedsafe_tff.paper.cells import method_name
from fedsafe_tff.paper.report import Section, write_tables
from fedsafe_tff.paper.results import Results, p_text, table_text

_NOTE = (
  "Two splits evaluate different images, so that the accuracies above do not tell the leak from "
  "how hard these are. Here both kinds are test images of one split. Accuracy is the global "
  "model's, averaged over the classes; *copied* images have an exact or near copy among those that "
  "it learnt from: the clients' and, where the server adapts it, the server's. The others' copies, "
  "if any, fell to parts that it did not see. Difference: copied less others, by seed.\n\n"
)


def section(results: Results, folder: pathlib.Path) -> Section | None:
  """Accuracy on images with and without a copy in training; None where no split leaks."""
  rows, records = [], []
  for variant in results.distinct("variant"):
    for task in results.distinct("task", variant=variant):
      for method in results.distinct("method", task=task, variant=variant):
        where = {"variant": variant, "task": task, "method": method}
        copied = results.by_seed("copied_accuracy", **where)
        if not copied:
          continue
        found = statistics.compare(results.by_seed("other_accuracy", **where), copied)
        counts = [results.estimate(f"{name}_images", **where) for name in ("copied", "other")]
        rows.append(
          [
            task,
            method_name(method),
            variant,
            *(f"{count.mean:.0f}" for count in counts),
            table_text(found.second),
            table_text(found.first),
            table_text(found.difference),
            p_text(found.p),
            str(found.difference.count),
          ]  # fmt: skip
        )
        records.append(
          {
            **where,
            "copied": found.second.mean,
            "other": found.first.mean,
            "difference": found.difference.mean,
            "half_width": found.difference.half_width,
            "p": found.p,
            "seeds": found.difference.count,
          }  # fmt: skip
        )
  if not rows:
    return None
  headings = ["task", "method", "split", "copied images", "others", "accuracy on copied",
              "on others", "difference", "p", "seeds"]  # fmt: skip
  title = "What the leak is worth"
  return Section(title, _NOTE + write_tables(folder, "leak", headings, rows, records, title))
