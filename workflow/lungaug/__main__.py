from lungaug.cli import main

raise SystemExit(main())
