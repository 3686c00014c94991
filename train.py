"""Train a network: python train.py [flags] [group=option ...] [key=value ...]; see --help."""

if __name__ == "__main__":
    try:  # from the first import on: Ctrl-C is no error to report
        from mlp.cli.train import main

        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
