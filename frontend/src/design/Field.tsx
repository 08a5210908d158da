/** Inputs with their labels, hints and errors. */

import { clsx } from "clsx";
import {
  type InputHTMLAttributes,
  type ReactNode,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
  useId,
} from "react";

interface Labelled {
  label: string;
  hint?: ReactNode;
  error?: string | null | undefined;
  /** The label is for screen readers alone. */
  bare?: boolean | undefined;
}

const LOOK =
  "w-full min-w-0 rounded-lg border border-edge bg-surface px-3 py-1.5 min-h-10 " +
  "aria-invalid:border-bad disabled:opacity-60";

interface Given {
  id: string;
  "aria-describedby"?: string;
  "aria-invalid"?: true;
}

function Field({
  label,
  hint,
  error,
  bare = false,
  children,
}: Labelled & { children: (given: Given) => ReactNode }) {
  const id = useId();
  const note = `${id}-note`;
  const told = error ?? hint;
  return (
    <div className="flex min-w-0 flex-col gap-1">
      <label htmlFor={id} className={bare ? "sr-only" : "font-medium text-sm"}>
        {label}
      </label>
      {children({
        id,
        ...(told ? { "aria-describedby": note } : {}),
        ...(error ? { "aria-invalid": true as const } : {}),
      })}
      {told ? (
        <p id={note} className={clsx("text-sm", error ? "text-bad" : "text-soft")}>
          {told}
        </p>
      ) : null}
    </div>
  );
}

type InputProps = Labelled & InputHTMLAttributes<HTMLInputElement>;

export function TextField({ label, hint, error, bare, className, ...rest }: InputProps) {
  return (
    <Field label={label} hint={hint} error={error} bare={bare}>
      {(given) => <input className={clsx(LOOK, className)} {...given} {...rest} />}
    </Field>
  );
}

type AreaProps = Labelled & TextareaHTMLAttributes<HTMLTextAreaElement>;

export function TextArea({ label, hint, error, bare, className, ...rest }: AreaProps) {
  return (
    <Field label={label} hint={hint} error={error} bare={bare}>
      {(given) => <textarea className={clsx(LOOK, "resize-y", className)} {...given} {...rest} />}
    </Field>
  );
}

interface Option<Value extends string> {
  value: Value;
  title: string;
}

type SelectProps<Value extends string> = Labelled &
  Omit<SelectHTMLAttributes<HTMLSelectElement>, "onChange" | "value"> & {
    value: Value;
    options: readonly Option<Value>[];
    choose: (value: Value) => void;
  };

/** The system's own list: quick, and at home on a phone and with a screen reader. */
export function Select<Value extends string>({
  label,
  hint,
  error,
  bare,
  className,
  options,
  choose,
  ...rest
}: SelectProps<Value>) {
  return (
    <Field label={label} hint={hint} error={error} bare={bare}>
      {(given) => (
        <select
          className={clsx(LOOK, "pe-8", className)}
          onChange={(event) => choose(event.target.value as Value)}
          {...given}
          {...rest}
        >
          {options.map((option) => (
            <option key={option.value} value={option.value}>
              {option.title}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
