"""`python grid_table.py OUT`: the command of report/grid_table.py."""

from report.grid_table import run

if __name__ == "__main__":
    run()
