/** A body on its way into the array that it is for. */

export interface DirectBody {
  readonly bytes: Uint8Array;
  /** How many of them have come. */
  readonly received: number;
  /** Rejects with what broke the connection. */
  readonly done: Promise<void>;
  /** Told of each piece. */
  onPiece: (() => void) | undefined;
  /** Closes its connection, unless all has come; `done` rejects with `error`. Nothing is written to `bytes` afterwards. */
  destroy(error?: Error): void;
}

/** As its connection has it. */
export interface OpenDirectBody extends DirectBody {
  arrived(bytes: number): void;
  end(): void;
  fail(error: Error): void;
}

export function createDirectBody(bytes: Uint8Array, close: (error?: Error) => void): OpenDirectBody {
  let received = 0;
  let isOver = false;
  let end = (): void => undefined;
  let fail = (_error: Error): void => undefined;
  const done = new Promise<void>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  done.catch(() => undefined); // who refuses its head waits for it no more
  return {
    bytes,
    get received() {
      return received;
    },
    done,
    onPiece: undefined,
    destroy: (error) => {
      if (!isOver && received < bytes.length) close(error);
    },
    arrived(count) {
      received += count;
      this.onPiece?.();
    },
    end: () => {
      isOver = true;
      end();
    },
    fail: (error) => {
      isOver = true;
      fail(error);
    },
  };
}
