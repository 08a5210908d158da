/** What is remembered for later; nothing where the browser may not keep anything. */

interface Memory {
  recall: (name: string) => string | null;
  /** `value` null: forgets it. False: it could not be kept. */
  keep: (name: string, value: string | null) => boolean;
  /** Forgets everything that the pages keep there. */
  clear: () => void;
}

/** What the pages keep begins so; what others keep there is theirs. */
const OURS = "weir.";

/** Until it is cleared, for every tab. */
export const browserMemory = memoryIn(() => window.localStorage);

/** Until the tab is closed, for this tab. */
export const tabMemory = memoryIn(() => window.sessionStorage);

/** `storage`: to ask for it may fail already. */
function memoryIn(storage: () => Storage): Memory {
  // What could not be kept holds until the page is closed.
  const held = new Map<string, string>();
  return {
    recall: (name) => {
      try {
        return held.get(name) ?? storage().getItem(name);
      } catch {
        return null;
      }
    },
    keep: (name, value) => {
      held.delete(name);
      try {
        if (value === null) storage().removeItem(name);
        else storage().setItem(name, value);
        return true;
      } catch {
        if (value !== null) held.set(name, value);
        return false;
      }
    },
    clear: () => {
      held.clear();
      try {
        const kept = storage();
        for (const name of Object.keys(kept)) {
          if (name.startsWith(OURS)) kept.removeItem(name);
        }
      } catch {
        // Nothing could be kept there either.
      }
    },
  };
}
