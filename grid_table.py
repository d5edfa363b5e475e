"""`python grid_table.py OUT --markdown FILE`: the first tables of run_report.py as Markdown, for the recipes that still ask for them."""

import argparse
import sys
from pathlib import Path

from report.analysis import Analysis
from report.collect import collect
from report.formats import to_markdown, visible
from report.tables import SHOWN, all_tables
from task_adapters import InputError


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--markdown")
    args = parser.parse_args(argv)
    try:
        tables = all_tables(Analysis(collect([args.folder])))
        text = "\n\n".join(to_markdown(table) for table in tables if table.name in SHOWN)
        print(text)
        if args.markdown:
            Path(args.markdown).write_text(text + "\n", encoding="utf-8")
    except (InputError, OSError) as error:
        print(f"grid_table.py: error: {visible(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
