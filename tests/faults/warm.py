"""What a process that runs commands needs to have imported: seconds that every fork saves.

Nothing here may let TensorFlow compute: its threads would not be there after a fork.
"""

import fedsafe_tff.commands.table1  # noqa: F401
import fedsafe_tff.commands.train  # noqa: F401
import fedsafe_tff.paper.work  # noqa: F401
import fedsafe_tff.runs.report.build  # noqa: F401
import fedsafe_tff.runs.run  # noqa: F401
import tests.small  # noqa: F401
