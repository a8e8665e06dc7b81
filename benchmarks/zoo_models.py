"""Networks that others wrote, small and with random weights: what `make zoo` loads."""

import zoo_images  # the folder of a script is on its path
import zoo_others
import zoo_transformers
from zoo_entry import Entry

ENTRIES: tuple[Entry, ...] = (*zoo_others.ENTRIES, *zoo_transformers.ENTRIES, *zoo_images.ENTRIES)
