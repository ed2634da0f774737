"""python -m falsework is the falsework command."""

from falsework.cli import main

raise SystemExit(main())
