/** What is remembered for later; nothing where the browser may not keep anything. */

interface Memory {
  recall: (name: string) => string | null;
  /** `value` null: forgets it. False: it could not be kept. */
  keep: (name: string, value: string | null) => boolean;
}

/** Until it is cleared, for every tab. */
export const browserMemory = memoryIn(() => window.localStorage);

/** Until the tab is closed, for this tab. */
export const tabMemory = memoryIn(() => window.sessionStorage);

/** `storage`: to ask for it may fail already. */
function memoryIn(storage: () => Storage): Memory {
  return {
    recall: (name) => {
      try {
        return storage().getItem(name);
      } catch {
        return null;
      }
    },
    keep: (name, value) => {
      try {
        if (value === null) storage().removeItem(name);
        else storage().setItem(name, value);
        return true;
      } catch {
        // It holds until the page is closed.
        return false;
      }
    },
  };
}
