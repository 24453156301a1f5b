"""`mr`, for as long as the process that started it is there.

python -m mr_assets_tests.study.child PID run RECIPE ...
"""

import sys

from mr_assets.cli.main import main
from mr_assets.processes import die_with_process

if __name__ == "__main__":
    die_with_process(int(sys.argv[1]))
    main(sys.argv[2:])
