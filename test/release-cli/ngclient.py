"""An independent TUF client: python-tuf's `ngclient`, on a repository of ours.

    ngclient.py ROOT METADATA_DIR METADATA_URL TARGETS_URL TARGET_PATH

Prints what it trusts as one line of JSON: versions of the metadata, and the target with its custom
fields. Exits with 1 and the error's class on stderr when it trusts nothing.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater


def main(root: str, metadata_dir: str, metadata_url: str, targets_url: str, path: str) -> int:
    with TemporaryDirectory() as target_dir:
        updater = Updater(
            metadata_dir=metadata_dir,
            metadata_base_url=metadata_url,
            target_dir=target_dir,
            target_base_url=targets_url,
            bootstrap=Path(root).read_bytes(),
        )
        try:
            updater.refresh()
            info = updater.get_targetinfo(path)
            content = None
            if info is not None:
                content = Path(updater.download_target(info)).read_text(encoding="utf-8")
        except (DownloadError, RepositoryError) as error:
            print(type(error).__name__, error, file=sys.stderr)
            return 1
    versions = {
        role: json.loads((Path(metadata_dir) / f"{role}.json").read_text(encoding="utf-8"))[
            "signed"
        ]["version"]
        for role in ("root", "timestamp", "snapshot", "targets")
    }
    custom = None if info is None else info.unrecognized_fields.get("custom")
    print(json.dumps({"versions": versions, "custom": custom, "content": content}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
