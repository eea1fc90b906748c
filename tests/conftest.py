"""What holds for all tests."""

import pytest

# Modules of a folder that tests in others use, too: before any of them is imported.
pytest.register_assert_rewrite("tests.integration.server", "tests.lossless.load")
